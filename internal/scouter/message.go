package scouter

import (
	"bytes"
	"encoding/json"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/otlp"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// Message is what a message says. Exactly one of its parts is set, but for Refused.
type Message struct {
	// Records are those of a message of records, each from one element of it.
	Records []*ingestv1.Record
	// Index says which element each of them is.
	Index []int
	// Refused are the elements that make no record.
	Refused []Refusal
	// Spans are those of a message of spans: an OTLP request in protobuf.
	Spans []byte
	// Tag is that of a message of one tag.
	Tag *Tag
}

// Refusal is why an element of a message makes no record.
type Refusal struct {
	Index   int
	Reason  string // of the set of package record
	Message string
}

// Tag is a word about something.
type Tag struct {
	EntityType string `json:"entity_type"`
	EntityID   string `json:"entity_id"`
	Key        string `json:"key"`
	Value      string `json:"value"`
}

// errMessage is what Scouter's own server says of it.
func errMessage(format string, args ...any) error {
	return fault.Invalid.New("Invalid message format: "+format, args...).WithReason("SCOUTER_MESSAGE")
}

// top are the members that tell the kinds of messages apart.
type top struct {
	Records json.RawMessage `json:"records"`
	Request json.RawMessage `json:"request"`
	Tag
}

func readTop(raw []byte) (*top, error) {
	t := &top{}
	if err := json.Unmarshal(raw, t); err != nil {
		return nil, errMessage("want a JSON object with records, request, or entity_type, entity_id, key and value: %s", Why(err))
	}
	if no := checkMembers(raw); no != nil {
		return nil, errMessage("the message %s", no.Message)
	}
	return t, nil
}

// Decode reads a message: JSON of one of three kinds, which their members tell
// apart. An element of the records that is not understood is refused by itself, and
// hurts no other. It gives fault.Invalid for what is no message at all.
func Decode(raw []byte) (*Message, error) {
	top, err := readTop(raw)
	if err != nil {
		return nil, err
	}
	switch {
	case present(top.Records):
		return decodeRecords(top.Records)
	case present(top.Request):
		spans, err := otlp.FromJSON(top.Request)
		if err != nil {
			return nil, errMessage("request: %v", err)
		}
		return &Message{Spans: spans}, nil
	case top.EntityType != "" && top.EntityID != "" && top.Key != "":
		return &Message{Tag: &top.Tag}, nil
	}
	return nil, errMessage("there are neither records, nor a request, nor entity_type, entity_id, key and value")
}

func present(raw json.RawMessage) bool { return len(raw) > 0 && !bytes.Equal(raw, []byte("null")) }

// decodeRecords reads the elements one by one.
func decodeRecords(raw json.RawMessage) (*Message, error) {
	list, err := elements(raw)
	if err != nil {
		return nil, err
	}
	m, names := &Message{}, newNames()
	for i, element := range list {
		if r, no := decodeElement(element, names); no == nil {
			m.Records, m.Index = append(m.Records, r), append(m.Index, i)
		} else {
			m.refuse(i, no)
		}
	}
	return m, nil
}

func (m *Message) refuse(i int, no *Refusal) {
	no.Index = i
	m.Refused = append(m.Refused, *no)
}
