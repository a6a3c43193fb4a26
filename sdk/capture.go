package sdk

import (
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// DefaultCaptureLimit is after how many characters each thing captured is cut,
// unless WithCaptureLimit or CaptureLimit say otherwise.
const DefaultCaptureLimit = 5000

// truncated stands at the end of what was cut.
const truncated = "…[truncated]"

// CaptureKind says what is captured.
type CaptureKind string

// What is captured.
const (
	CaptureInput  CaptureKind = "input"
	CaptureOutput CaptureKind = "output" // also items of streams, one by one
	CaptureEvent  CaptureKind = "event"
)

// Capture is a value about to be encoded.
type Capture struct {
	Kind  CaptureKind
	Span  string // the span's name, where it is known
	Event string // the event's name
	Value any
}

// Redaction sees what is about to be captured and returns what is captured instead:
// the value itself, another one, or nil for nothing. It must not change the value,
// which the program goes on with. When it panics, nothing is captured.
type Redaction func(Capture) any

// redacted stands in the place of members that are left out by their names.
const redacted = "[redacted]"

// captureSettings are what a client says of all spans.
type captureSettings struct {
	limit  int
	redact Redaction
	keys   map[string]struct{} // of members that are left out, in lower case
}

func defaultCapture() captureSettings { return captureSettings{limit: DefaultCaptureLimit} }

// WithCaptureLimit cuts each thing that spans capture (inputs, outputs, payloads of
// events) after so many characters; 0 captures nothing. The default is 5000. It is
// DRIFTMESH_CAPTURE_LIMIT in the environment.
func WithCaptureLimit(characters int) Option {
	return func(c *config) { c.capture.limit = characters }
}

// WithRedaction lets f see everything that is captured, see [Redaction]; further
// calls see what the one before returned.
func WithRedaction(f Redaction) Option {
	return func(c *config) { c.capture.redact = both(c.capture.redact, f) }
}

// WithRedactedKeys replaces the values of members of these names, whatever their
// case, in everything that is captured, at any depth. It is DRIFTMESH_REDACTED_KEYS
// in the environment, names with commas between. A field with the tag
// driftmesh:"redact" is replaced always, one with driftmesh:"-" left out.
func WithRedactedKeys(names ...string) Option {
	return func(c *config) {
		keys := make(map[string]struct{}, len(c.capture.keys)+len(names))
		for name := range c.capture.keys {
			keys[name] = struct{}{}
		}
		for _, name := range names {
			keys[strings.ToLower(name)] = struct{}{}
		}
		c.capture.keys = keys
	}
}

// both is one redaction after the other; nil is none.
func both(first, second Redaction) Redaction {
	switch {
	case first == nil:
		return second
	case second == nil:
		return first
	}
	return func(c Capture) any {
		if c.Value = first(c); c.Value == nil {
			return nil
		}
		return second(c)
	}
}

// capturing is how one span captures.
type capturing struct {
	captureSettings
	span string
	on   bool // the span is recorded
}

// capturingOf is how a span with these options captures.
func capturingOf(options []SpanOption) capturing {
	c := capturing{captureSettings: defaultCapture(), on: true}
	if client := Default(); client != nil {
		c.captureSettings = client.cfg.capture
	}
	for i := range options {
		switch o := &options[i]; o.is {
		case isLimit:
			c.limit = o.n
		case isRedaction:
			if f, ok := o.any.(Redaction); ok {
				c.redact = both(c.redact, f)
			}
		default: // said of something else
		}
	}
	return c
}

// set captures a value as an attribute.
func (c *capturing) set(span trace.Span, kind CaptureKind, key attribute.Key, value any) {
	if !c.on {
		return
	}
	text, cut, ok := c.text(kind, "", value)
	if ok {
		put(span, key, text, cut)
	}
}

// put sets an attribute that was captured.
func put(span trace.Span, key attribute.Key, text string, cut bool) {
	if cut {
		span.SetAttributes(key.String(text), attribute.Bool(string(key)+AttrTruncated, true))
		return
	}
	span.SetAttributes(key.String(text))
}

// text encodes a value; not ok is nothing. It never panics.
func (c *capturing) text(kind CaptureKind, event string, value any) (text string, cut, ok bool) {
	if c.limit <= 0 {
		return "", false, false
	}
	value, ok = c.redacted(kind, event, value)
	if !ok {
		return "", false, false
	}
	text, cut = encodeJSON(value, c.limit, c.keys)
	return text, cut, true
}

// redacted is what may be captured of a value.
func (c *capturing) redacted(kind CaptureKind, event string, value any) (out any, ok bool) {
	if c.redact == nil {
		return value, true
	}
	defer func() {
		if recover() != nil {
			out, ok = nil, false // better nothing than what was to be hidden
		}
	}()
	out = c.redact(Capture{Kind: kind, Span: c.span, Event: event, Value: value})
	return out, out != nil
}

// cutText cuts a text after so many characters, and says so at its end.
func cutText(s string, characters int) (text string, cut bool) {
	if len(s) <= characters {
		return s, false
	}
	n := 0
	for at := range s {
		if n == characters {
			return s[:at] + truncated, true
		}
		n++
	}
	return s, false
}
