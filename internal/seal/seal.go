// Package seal vouches for who sent a message whose credentials are not there: they
// were taken out before it was parked, or it came in by a way on which the mesh
// itself knows whose it is. A seal is good for this value of this type alone, so
// whoever reads one can do no more with it than send the same data to the same
// tenant again.
package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"slices"
	"strings"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/identity"
)

// Sender is whose a message is, and who sent it.
type Sender struct {
	Tenant string
	// Principal is that of identity.Identity, "broker:" and the broker's user, or
	// "source:" and the broker that it came from.
	Principal string
}

// purpose separates this use of the mesh secret from all others.
const purpose = "inbox seal v1"

// Sealer makes and checks seals. It is safe for concurrent use.
type Sealer struct{ keys *identity.Keys }

// New makes a sealer from the mesh secret.
func New(secrets *identity.Secrets) *Sealer { return &Sealer{keys: secrets.Keys(purpose)} }

// Seal is the headers that stand for the credentials of a sender's message.
func (s *Sealer) Seal(of Sender, m *broker.Message) []broker.Header {
	text := of.Tenant + ":" + sum(s.keys.All()[0], of, m)
	return []broker.Header{
		{Key: event.HeaderTenant, Value: []byte(of.Tenant)},
		{Key: event.HeaderSender, Value: []byte(of.Principal)},
		{Key: event.HeaderSeal, Value: []byte(text)},
	}
}

// idBytes of a hash name a message.
const idBytes = 16

// Message is a message for the topic inbox that says what its sender said elsewhere. Its
// id follows from the value: what comes again, whichever way, is the same message. The
// value is not copied.
func (s *Sealer) Message(of Sender, valueType string, value []byte) broker.Message {
	hash := sha256.Sum256(value)
	m := broker.Message{
		Topic: event.Inbox, Value: value, ID: "said-" + hex.EncodeToString(hash[:idBytes]),
		Headers: []broker.Header{{Key: event.HeaderType, Value: []byte(valueType)}},
	}
	m.Headers = append(m.Headers, s.Seal(of, &m)...)
	return m
}

// Room is what the headers of such a message take at most.
const Room = 4 << 10

// Sender gives the sender for whom a message has a good seal.
func (s *Sealer) Sender(m *broker.Message) (of Sender, ok bool) {
	sealed := m.Header(event.HeaderSeal)
	if sealed == "" {
		return Sender{}, false
	}
	tenant, text, _ := strings.Cut(sealed, ":")
	of = Sender{tenant, m.Header(event.HeaderSender)}
	return of, slices.ContainsFunc(s.keys.All(), func(key []byte) bool { return hmac.Equal([]byte(text), []byte(sum(key, of, m))) })
}

// sum is the text of a MAC of what a seal speaks for.
func sum(key []byte, of Sender, m *broker.Message) string {
	h := hmac.New(sha256.New, key)
	WriteParts(h, []byte(of.Tenant), []byte(m.Header(event.HeaderType)), []byte(m.Header(event.HeaderContentType)), m.Value)
	if of.Principal != "" { // what was sealed before there were senders has none
		WriteParts(h, []byte(of.Principal))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// WriteParts hashes parts so that no two lists of them are alike.
func WriteParts(h hash.Hash, parts ...[]byte) {
	var size [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(size[:], uint64(len(p)))
		h.Write(size[:]) // a hash never fails
		h.Write(p)
	}
}
