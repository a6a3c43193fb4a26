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

func (c *Columns) appendTags(res *group, s *span) {
	tags, keys := c.tags.of, c.attrs.keys
	for _, t := range res.tokens {
		tags.append32(t)
	}
	first := c.attrs.prev
	for i := range s.attrs.attrs {
		tags.append32(token(keys.hashes[keys.rows[first+i]], xxhash.Sum64(s.attrs.attrs[i].text)))
	}
	c.tags.close()
}
