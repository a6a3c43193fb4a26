package record

import (
	"encoding/hex"

	"go.opentelemetry.io/otel/trace"
)

// parentLength is that of version 00: 2 + 1 + 32 + 1 + 16 + 1 + 2.
const parentLength = 55

// ParseParent reads a W3C traceparent (Trace Context, section 3.2). A later
// version may be longer; what it adds is not looked at.
func ParseParent(s string) (trace.SpanContext, bool) {
	var none trace.SpanContext
	if len(s) < parentLength || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return none, false
	}
	var version, flags [1]byte
	var cfg trace.SpanContextConfig
	if !hexInto(version[:], s[:2]) || !hexInto(cfg.TraceID[:], s[3:35]) ||
		!hexInto(cfg.SpanID[:], s[36:52]) || !hexInto(flags[:], s[53:55]) {
		return none, false
	}
	switch {
	case version[0] == 0xff,
		version[0] == 0 && len(s) != parentLength,
		len(s) > parentLength && s[parentLength] != '-':
		return none, false
	}
	cfg.TraceFlags = trace.TraceFlags(flags[0]) & trace.FlagsSampled
	cfg.Remote = true
	sc := trace.NewSpanContext(cfg)
	return sc, sc.IsValid()
}

// knownFlags are those with a meaning: sampled, and random trace id (level 2).
const knownFlags = 0x03

// plainParent writes a good traceparent as everybody can read it: flags that
// have no meaning yet are legal to send, must not be sent on, and make some
// libraries refuse the whole.
func plainParent(s string) string {
	var flags [1]byte
	if len(s) != parentLength || !hexInto(flags[:], s[53:55]) || flags[0] <= knownFlags {
		return s
	}
	return s[:53] + "0" + string("0123"[flags[0]&knownFlags])
}

// hexInto reads lower-case hex only, as the specification has it.
func hexInto(dst []byte, s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	_, err := hex.Decode(dst, []byte(s))
	return err == nil
}

// maxTraceState is the least that the specification asks to be carried on.
const maxTraceState = 512

func validState(s string) bool {
	if s == "" {
		return true
	}
	if len(s) > maxTraceState {
		return false
	}
	_, err := trace.ParseTraceState(s)
	return err == nil
}
