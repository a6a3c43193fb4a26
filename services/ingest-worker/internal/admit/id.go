package admit

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/seal"
)

// origin is what tells one message on the inbox from another: the id it was
// first parked under, else the one its producer gave it, else its place.
func origin(d *broker.Delivery) string {
	switch first := d.Header(event.HeaderOrigin); {
	case first != "":
		return first
	case d.ID != "":
		return d.ID
	}
	return d.Lane + ":" + d.Position
}

// messageID names a message of a tenant for good. It holds the value, so that a
// producer who uses an id twice loses nothing.
func messageID(tenant, origin string, value []byte) string {
	h := sha256.New()
	seal.WriteParts(h, []byte("inbox"), []byte(tenant), []byte(origin), value)
	return asUUID(h)
}

// partID names what is made of a message, by its numbers: what is forwarded of
// it, and its records that had no id. It does not depend on when the message
// came, which differs where its producer published it twice; but it does on
// which records were good, as a profile may be known by the next time.
func partID(message, kind string, numbers []int) string {
	h := sha256.New()
	var list []byte
	for _, n := range numbers {
		list = binary.AppendUvarint(list, uint64(n))
	}
	seal.WriteParts(h, []byte(message), []byte(kind), list)
	return asUUID(h)
}

// asUUID is a hash in the form of a UUID of version 8 (RFC 9562, section 5.8).
func asUUID(h hash.Hash) string {
	var id uuid.UUID
	copy(id[:], h.Sum(nil))
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}
