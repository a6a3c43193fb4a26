package envelope

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"sync"
	"sync/atomic"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
)

// Purposes that separate the keys of signatures from other uses of the mesh
// secret.
const (
	signPurpose = "inner message v1"
	hashPurpose = "inner message value v1"
)

// ReasonForged is the reason of Signer.Check's error.
const ReasonForged = "MESSAGE_FORGED"

// signatureSize is that of a signature in bytes.
const signatureSize = 16

// Signer signs the messages of topics that services of the mesh alone publish to,
// and tells those of others: whoever gets past the broker's own users speaks for
// no tenant. It implements broker.Seal, and is safe for concurrent use.
//
// A signature is good for the facts in a message's headers, the id under which the
// ledger knows it, and its value, compressed as it is. It stays good when the
// message is parked, waits in a retry topic or is redriven.
type Signer struct {
	sign, hash *identity.Keys
	unsigned   bool
	known      atomic.Pointer[signing]
}

var _ broker.Seal = (*Signer)(nil)

// NewSigner makes a signer with the mesh secret. unsigned messages are believed
// where they are of a release that did not sign yet.
func NewSigner(secrets *identity.Secrets, unsigned bool) *Signer {
	return &Signer{sign: secrets.Keys(signPurpose), hash: secrets.Keys(hashPurpose), unsigned: unsigned}
}

// signing are keys made ready: of each secret one.
type signing struct {
	of   *[]byte // identifies the list of keys
	keys []signKey
}

// signKey hashes a value with GHASH, under AES-GCM with a nonce that is always
// the same, and signs that together with the headers by HMAC. A universal hash
// under a pseudorandom function is a MAC (Carter and Wegman; RFC 4543 is the same
// hash with another function), as long as the hash itself is never shown: see ADR
// 28 for what it costs.
type signKey struct {
	macs *sync.Pool // of hash.Hash: HMACs made ready, which to make anew costs as much as to use
	hash cipher.AEAD
}

var nonce [12]byte

func (s *Signer) keys() []signKey {
	sign := s.sign.All()
	if known := s.known.Load(); known != nil && known.of == &sign[0] {
		return known.keys
	}
	fresh := &signing{of: &sign[0]}
	for i, hash := range s.hash.All() {
		block, err := aes.NewCipher(hash)
		if err != nil || i >= len(sign) {
			break // a key has 32 bytes; the lists differ only while the secret changes, and are the same the next time
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			break
		}
		macs := &sync.Pool{New: func() any { return hmac.New(sha256.New, sign[i]) }}
		fresh.keys = append(fresh.keys, signKey{macs, aead})
	}
	s.known.Store(fresh)
	return fresh.keys
}

// Signs reports whether the messages of a topic are signed.
func (s *Signer) Signs(topic string) bool {
	switch event.RetryOf(topic) {
	case event.Spans, event.Records, event.Windows, event.Alerts, event.SpanReceipts, event.RecordReceipts:
		return true
	}
	return false
}

// Sign gives a message its signature, in place of one that it has.
func (s *Signer) Sign(m *broker.Message) {
	headers := make([]broker.Header, 0, len(m.Headers)+1)
	for _, h := range m.Headers {
		if h.Key != event.HeaderSignature {
			headers = append(headers, h)
		}
	}
	keys := s.keys()
	sum := keys[0].sum(m)
	m.Headers = append(headers, broker.Header{Key: event.HeaderSignature, Value: base64.RawURLEncoding.AppendEncode(nil, sum[:])})
}

// Check gives fault.Denied for a message of a signed topic that nobody of the mesh
// has signed.
func (s *Signer) Check(m *broker.Message) error {
	if !s.Signs(m.Topic) {
		return nil
	}
	text, signed := m.Find(event.HeaderSignature)
	if !signed {
		if s.unsigned {
			return nil
		}
		return fault.Denied.New("the message has no signature: no service of the mesh published it").WithReason(ReasonForged)
	}
	var given [signatureSize]byte
	if len(text) != base64.RawURLEncoding.EncodedLen(signatureSize) {
		return errForged()
	}
	if _, err := base64.RawURLEncoding.Decode(given[:], text); err == nil {
		for _, key := range s.keys() {
			sum := key.sum(m)
			if subtle.ConstantTimeCompare(given[:], sum[:]) == 1 {
				return nil
			}
		}
	}
	return errForged()
}

func errForged() error {
	return fault.Denied.New("the message's signature is not good: it was changed, or is of another mesh").WithReason(ReasonForged)
}

// sum is the signature of a message.
func (k signKey) sum(m *broker.Message) [signatureSize]byte {
	var room [256]byte
	buf := room[:0]
	part := func(b []byte) {
		buf = binary.AppendUvarint(buf, uint64(len(b)))
		buf = append(buf, b...)
	}
	part([]byte(event.RetryOf(m.Topic)))
	id := []byte(m.ID)
	var facts [6][]byte
	var sender []byte
	for i := range m.Headers {
		h := &m.Headers[i]
		switch h.Key {
		case event.HeaderTenant:
			facts[0] = h.Value
		case event.HeaderType:
			facts[1] = h.Value
		case event.HeaderCount:
			facts[2] = h.Value
		case event.HeaderTime:
			facts[3] = h.Value
		case event.HeaderSeq:
			facts[4] = h.Value
		case event.HeaderEncoding:
			facts[5] = h.Value
		case event.HeaderSender:
			sender = h.Value
		case event.HeaderOrigin:
			id = h.Value
		}
	}
	for _, fact := range facts {
		part(fact)
	}
	part(id)
	if sender != nil { // what was signed before there were senders has none
		part(sender)
	}
	buf = k.hash.Seal(buf, nonce[:], nil, m.Value)
	mac := k.macs.Get().(hash.Hash) //nolint:forcetypeassert // of what New makes
	defer k.macs.Put(mac)
	mac.Reset()
	mac.Write(buf) // a hash never fails
	var out [sha256.Size]byte
	return [signatureSize]byte(mac.Sum(out[:0]))
}
