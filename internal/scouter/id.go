package scouter

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// names makes the ids of the records of one message.
type names struct{ equal map[[sha256.Size]byte]uint64 }

func newNames() *names { return &names{map[[sha256.Size]byte]uint64{}} }

// idBytes of a hash are an id: two of a billion records are alike with a chance of
// one in 10^20.
const idBytes = 16

// of is the id of a record that says this: a hash of it, and of how many before it
// in the message say the same.
func (n *names) of(parts ...string) string {
	h := sha256.New()
	for _, part := range parts { // with their lengths, so that no two lists look the same
		_, _ = h.Write(binary.AppendUvarint(nil, uint64(len(part)))) // it cannot fail
		_, _ = h.Write([]byte(part))
	}
	key := [sha256.Size]byte(h.Sum(nil))
	before := n.equal[key]
	n.equal[key] = before + 1
	_, _ = h.Write(binary.AppendUvarint(nil, before))
	return hex.EncodeToString(h.Sum(nil)[:idBytes])
}
