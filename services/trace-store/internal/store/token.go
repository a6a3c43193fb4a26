package store

import "github.com/cespare/xxhash/v2"

// Token is the 32-bit hash under which span_index finds an attribute by key
// and text. In SQL it is
//
//	toUInt32(bitXor(bitShiftRight(xxHash64(key), 1), xxHash64(text)))
//
// Different attributes may share a token, so whoever searches by it must look
// at the spans it found.
func Token(key, text string) uint32 {
	return token(xxhash.Sum64String(key), xxhash.Sum64String(text))
}

func token(key, text uint64) uint32 { return uint32(key>>1 ^ text) }

// Keys under which span_index has what is no attribute.
const (
	// ScopeName and ScopeVersion are those of the span's scope.
	ScopeName    = "scope.name"
	ScopeVersion = "scope.version"
	// EventName is the name of an event.
	EventName = "event"
)

var eventNameHash = xxhash.Sum64String(EventName)

// appendTags adds the tokens of a span whose attributes, events and links have
// been appended.
func (c *Columns) appendTags(res, scope *group, s *span) {
	tags := c.tags.of
	for _, g := range [...]*group{res, scope} {
		for _, t := range g.tokens {
			tags.append32(t)
		}
	}
	keys, first := c.attrs.keys, c.attrs.prev
	for i := range s.attrs.attrs {
		tags.append32(token(keys.hashes[keys.rows[first+i]], xxhash.Sum64(s.attrs.attrs[i].text)))
	}
	for i := range s.events {
		tags.append32(token(eventNameHash, xxhash.Sum64(s.events[i].name)))
		s.eventLists[i].appendTags(tags)
	}
	for i := range s.links {
		s.linkLists[i].appendTags(tags)
	}
	c.tags.close()
}

func (l *list) appendTags(tags *words) {
	for i := range l.attrs {
		tags.append32(token(xxhash.Sum64(l.attrs[i].key), xxhash.Sum64(l.attrs[i].text)))
	}
}
