package scouter

import (
	"bytes"
	"cmp"
	"encoding/json"
)

// Part is a part of a message, which can be handled without the others.
type Part struct {
	// Spans tells that the value is a request in OTLP/JSON, and no message.
	Spans bool
	Value []byte
}

// maxParts bounds for how many profiles a message is taken apart: what is of further
// ones stays together.
const maxParts = 256

// Parts takes a message apart, so that a profile which is not known stops no other:
// each part is of one profile, in the form of a message, and of about size bytes at
// most, or of what cannot be taken apart. The records of the parts have the ids that
// they have in the whole, and the same message gives the same parts. What is not
// understood is one part as it came.
func Parts(raw []byte, size int) []Part {
	top, err := readTop(raw)
	switch {
	case err != nil:
		return []Part{{Value: raw}}
	case present(top.Request):
		return []Part{{Spans: true, Value: top.Request}}
	}
	list, err := elements(top.Records)
	if err != nil || len(list) == 0 {
		return []Part{{Value: raw}}
	}
	groups := byProfile(list)
	if len(groups) == 1 && len(raw) <= size {
		return []Part{{Value: raw}}
	}
	var parts []Part
	for _, group := range groups {
		for _, some := range fitting(group, size) {
			parts = append(parts, Part{Value: envelope(some)})
		}
	}
	return parts
}

// ByProfile gives some records of a message, by their elements' indexes, as Parts
// would give them of a message that has no others.
func ByProfile(raw []byte, index []int, size int) ([]Part, error) {
	top, err := readTop(raw)
	if err != nil {
		return nil, err
	}
	list, err := elements(top.Records)
	if err != nil {
		return nil, err
	}
	some := make([]json.RawMessage, 0, len(index))
	for _, i := range index {
		some = append(some, list[i])
	}
	return Parts(envelope(some), size), nil
}

// mostElements is how many records a message may have: as many as a batch of ours.
const mostElements = 100_000

// elements are those of the list of records, as they stand.
func elements(raw json.RawMessage) (list []json.RawMessage, err error) {
	if !present(raw) {
		return nil, nil
	}
	if raw[0] != '[' {
		return nil, errMessage("records is not a list")
	}
	for element := range members(raw) {
		if len(list) == mostElements {
			return nil, errMessage("records has more than %d elements: send fewer at a time", mostElements)
		}
		list = append(list, element)
	}
	return list, nil
}

// byProfile sorts elements into those of each profile, in the order in which they
// first come.
func byProfile(list []json.RawMessage) (groups [][]json.RawMessage) {
	at := map[string]int{}
	for _, element := range list {
		uid := profileOf(element)
		k, known := at[uid]
		switch {
		case known:
		case len(groups) < maxParts:
			k = len(groups)
			groups = append(groups, nil)
			at[uid] = k
		default:
			k = maxParts - 1
		}
		groups[k] = append(groups[k], element)
	}
	return groups
}

// profileOf is the uid of the profile that an element names, "" where there is none.
func profileOf(element json.RawMessage) string {
	var kinds map[string]struct {
		UID       string `json:"uid"`
		EntityUID string `json:"entity_uid"`
		Record    struct {
			EntityUID string `json:"entity_uid"`
		} `json:"record"`
	}
	if json.Unmarshal(element, &kinds) != nil || len(kinds) != 1 {
		return ""
	}
	for _, e := range kinds {
		return cmp.Or(e.Record.EntityUID, e.EntityUID, e.UID)
	}
	return ""
}

// fitting cuts elements of one profile into lists that fit into a message. Those that
// say the same stay together: how many they are is in their ids.
func fitting(group []json.RawMessage, size int) (lists [][]json.RawMessage) {
	at, used := map[string]int{}, 0
	for _, element := range group {
		id := identity(element)
		k, known := at[id]
		if !known || id == "" {
			if used += len(element) + 1; len(lists) == 0 || used > size {
				used = len(`{"records":[]}`) + len(element)
				lists = append(lists, nil)
			}
			k = len(lists) - 1
			at[id] = k
		}
		lists[k] = append(lists[k], element)
	}
	return lists
}

// identity is the same for elements that say the same; "" for what makes no record.
func identity(raw json.RawMessage) string {
	r, _ := decodeElement(raw, newNames())
	return r.GetId()
}

// envelope is a message of elements.
func envelope(list []json.RawMessage) []byte {
	raw := make([][]byte, len(list))
	for i := range list {
		raw[i] = list[i]
	}
	out := append([]byte(`{"records":[`), bytes.Join(raw, []byte(","))...)
	return append(out, "]}"...)
}
