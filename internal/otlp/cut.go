package otlp

import "unicode/utf8"

// cutAttribute gives a KeyValue of at most most bytes: as much of its
// value as fits, from the beginning. kv is readable; it is returned as it is
// when it is small enough.
func cutAttribute(kv []byte, most int) []byte {
	if len(kv) <= most {
		return kv
	}
	return cutPair(kv, most, 0)
}

// cutPair cuts a KeyValue: its key to a quarter of the room, its value to what
// remains.
func cutPair(kv []byte, room, depth int) []byte {
	var value []byte
	for v := range fields(kv, KeyValueValue) {
		value = v.body // the last wins, but for values in pieces, which nobody writes
	}
	out := appendText(nil, KeyValueKey, clipText(keyOf(kv), room/4))
	value = cutValue(value, max(room-len(out)-maxFrame, 0), depth)
	return append(appendFrame(out, KeyValueValue, len(value)), value...)
}

// maxFrame is what tag and length of a field take at most in a request.
const maxFrame = 6

// keyOf is the key of a readable KeyValue.
func keyOf(kv []byte) []byte {
	var key []byte
	for v := range fields(kv, KeyValueKey) {
		key = v.body
	}
	return key
}

// cutValue gives an AnyValue of at most room bytes: the beginning of a text or
// of bytes, the first items of a list or map. depth bounds the lists in lists
// that it looks into.
func cutValue(value []byte, room, depth int) []byte {
	var tag uint64
	var body []byte
	for i := 0; i < len(value); {
		t, next := readTag(value, i)
		end := skip(value, next, t)
		if t&7 == wireBytes { // the others are small
			tag = t
			start, _ := readBytes(value, next)
			body = value[start:end]
		}
		i = end
	}
	if len(value) <= room {
		return value
	}
	room = max(room-maxFrame, 0)
	switch num := int(tag >> 3); num {
	case AnyValueString:
		body = clipText(body, room)
	case AnyValueBytes:
		body = body[:min(len(body), room)]
	case AnyValueArray, AnyValueKvlist:
		body = cutList(body, num, room, depth+1)
	default:
		return nil
	}
	return append(appendFrame(nil, int(tag>>3), len(body)), body...)
}

// cutList gives an ArrayValue or KeyValueList, whose lists have the same field,
// of at most room bytes. The item at the end is cut itself when there is room
// for some of it.
func cutList(list []byte, kind, room, depth int) []byte {
	var out []byte
	for v := range fields(list, ArrayValueValues) {
		left := room - len(out)
		if len(v.framed) <= left {
			out = append(out, v.framed...)
			continue
		}
		if left < minItem || depth > MaxDepth {
			break
		}
		item := v.body
		if kind == AnyValueArray {
			item = cutValue(item, left-maxFrame, depth)
		} else {
			item = cutPair(item, left-maxFrame, depth)
		}
		return append(appendFrame(out, ArrayValueValues, len(item)), item...)
	}
	return out
}

// minItem is the least room in which a part of an item still says something.
const minItem = 64

// clipText gives the first n bytes of s or less, ending between characters.
func clipText(s []byte, n int) []byte {
	if len(s) <= n {
		return s
	}
	for back := 0; n > 0 && back < utf8.UTFMax && !utf8.RuneStart(s[n]); back++ {
		n--
	}
	return s[:n]
}
