package envelope

import (
	"github.com/klauspost/compress/s2"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
)

const (
	// snappy is Snappy's block format, which any Snappy library reads.
	snappy = "snappy"
	// minPack is the size below which packing is not worth the trouble.
	minPack = 1 << 10
	// maxValue bounds what Unpack makes of a message: more than any door takes.
	maxValue = 64 << 20
)

// PackRoom is how large the buffer of Pack has to be for a value of n bytes; 0
// when it will not be packed.
func PackRoom(n int) int {
	if n < minPack || n > maxValue {
		return 0
	}
	return s2.MaxEncodedLen(n)
}

// Pack compresses the value of m into buf, which is PackRoom bytes long and
// belongs to the message from then on. It leaves the message as it is where
// that would save less than an eighth; so a packed message is never larger.
func Pack(m *broker.Message, buf []byte) {
	if len(buf) == 0 {
		return
	}
	packed := s2.EncodeSnappy(buf, m.Value)
	if len(packed) > len(m.Value)/8*7 {
		return
	}
	m.Value = packed
	m.Headers = append(m.Headers, broker.Header{Key: event.HeaderEncoding, Value: []byte(snappy)})
}

// Unpack is what a value was before Pack, by the header content-encoding: the
// value itself when that is empty, else it lies in scratch, or in new memory if
// that is too small. The error is fault.Invalid.
func Unpack(encoding string, value, scratch []byte) ([]byte, error) {
	switch encoding {
	case "":
		return value, nil
	case snappy:
		n, err := s2.DecodedLen(value)
		if err == nil && n > maxValue {
			return nil, fault.Invalid.New("%s: the value would have %d bytes, at most %d are taken", event.HeaderEncoding, n, maxValue)
		}
		if err == nil {
			value, err = s2.Decode(scratch[:cap(scratch)], value)
		}
		if err != nil {
			return nil, fault.Invalid.Wrap(err, "%s: the value is not %s", event.HeaderEncoding, snappy)
		}
		return value, nil
	}
	return nil, fault.Invalid.New("%s: %q is not %s", event.HeaderEncoding, encoding, snappy)
}

// Open unpacks a message in new memory and takes the header off, so that it is
// as it was before Pack.
func Open(m *broker.Message) error {
	encoding := m.Header(event.HeaderEncoding)
	if encoding == "" {
		return nil
	}
	value, err := Unpack(encoding, m.Value, nil)
	if err != nil {
		return err
	}
	headers := make([]broker.Header, 0, len(m.Headers)-1)
	for _, h := range m.Headers {
		if h.Key != event.HeaderEncoding {
			headers = append(headers, h)
		}
	}
	m.Value, m.Headers = value, headers
	return nil
}
