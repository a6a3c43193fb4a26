package event

import "slices"

// Topic is what is to be known about one topic. It is a value; its slices are
// the receiver's own.
type Topic struct {
	// Name is the topic's name on every broker, under the driver's prefix.
	Name string
	// Carries says in a sentence what a message is.
	Carries string
	// Values are the types of values that a message may hold; the first is the
	// most usual.
	Values []Value
	// Headers that a message has, or may have.
	Headers []Header
	// Groups that read it. They exist before the first message, so that no
	// message finds nobody to wait for it.
	Groups []string
	// Key says what orders messages; "" is nothing.
	Key string
	// Writers says who publishes to it.
	Writers string
	// Open topics take messages of producers outside the mesh.
	Open bool
	// Retried topics have a retry topic; see Waiting.
	Retried bool
	// Limits are rules of size and number, in words.
	Limits []string
}

// Value is a type of payload.
type Value struct {
	Type        string // of the header driftmesh-type
	Name        string // as code generators may call it
	Carries     string
	ContentType string // media type
	Message     string // protobuf message, its full name; "" for JSON
	Schema      string // where that is defined
}

// Header is one header of a message.
type Header struct {
	Name    string
	Meaning string
	// Pattern is a regular expression of good values; "" for any text.
	Pattern string
	// Values are all there are; nil for any.
	Values  []string
	Example string
	// SetBy says who writes it.
	SetBy Setter
	// Required headers stand in every message of the topic.
	Required bool
}

// Setter is who writes a header.
type Setter string

// The setters.
const (
	ByProducer Setter = "producer" // whoever publishes the message
	ByMesh     Setter = "mesh"     // services of the mesh; what others write is thrown away
	ByDriver   Setter = "driver"   // the code that talks to the broker; what others write is thrown away
)

// Catalogue lists the topics of the mesh, without the dead letters that each has
// and the retry topics that some have: All has those too.
func Catalogue() []Topic {
	return []Topic{
		spansTopic(), recordsTopic(), windowsTopic(), alertsTopic(), inboxTopic(),
		receiptsTopic(SpanReceipts, SignalSpans, GroupTraceStore), receiptsTopic(RecordReceipts, SignalRecords, GroupIngest),
	}
}

// All lists every topic that the mesh provisions: those of the catalogue, each
// followed by its retry topic, if it has one, and by its dead letters.
func All() []Topic {
	var all []Topic
	for _, t := range Catalogue() {
		all = append(all, t)
		if waiting, ok := t.Waiting(); ok {
			all = append(all, waiting)
		}
		all = append(all, t.DeadLetters())
	}
	return all
}

// Topics names the topics of the catalogue, in its order.
func Topics() []string {
	var names []string
	for _, t := range Catalogue() {
		names = append(names, t.Name)
	}
	return names
}

// Lookup gives the entry of a topic; ok is false when there is none.
func Lookup(name string) (t Topic, ok bool) {
	for _, t := range Catalogue() {
		if t.Name == name {
			return t, true
		}
	}
	return Topic{}, false
}

// DeadLetters is the topic of what the groups of t have parked.
func (t Topic) DeadLetters() Topic {
	d := Topic{
		Name:    DLQ(t.Name),
		Carries: "Messages of the topic " + t.Name + " that could not be handled, as they were, with the reason in headers. Credentials are taken out.",
		Values:  slices.Clone(t.Values),
		Groups:  []string{GroupDeadLetters},
		Key:     t.Key,
		Writers: "the group that could not handle the message",
		Limits:  []string{"A parked message may be 4 KiB larger than others; of what is larger still, what fits is kept."},
	}
	for _, h := range t.Headers {
		switch h.Name {
		case HeaderAuthorization, HeaderAPIKey, HeaderSeal:
		default:
			d.Headers = append(d.Headers, h)
		}
	}
	if t.Open {
		d.Headers = append(d.Headers, tenantHeader(false), sealHeader())
	}
	d.Headers = append(d.Headers, deadHeaders()...)
	return d
}
