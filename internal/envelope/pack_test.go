package envelope_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
)

func pack(value []byte) broker.Message {
	m := envelope.New(event.Spans, envelope.Stamp{Tenant: "acme"}, value)
	envelope.Pack(&m, make([]byte, envelope.PackRoom(len(value))))
	return m
}

func TestPackedMessagesAreOpened(t *testing.T) {
	t.Parallel()
	text := bytes.Repeat([]byte("http.request.method GET "), 500)
	m := pack(text)
	require.Less(t, len(m.Value), len(text)/4)
	require.Equal(t, "snappy", envelope.Of(&m).Encoding)

	for _, room := range []int{0, 10, len(text), 2 * len(text)} {
		scratch := make([]byte, room)
		got, err := envelope.Unpack("snappy", m.Value, scratch)
		require.NoError(t, err)
		require.Equal(t, text, got)
		require.Equal(t, room >= len(text), room > 0 && &got[0] == &scratch[0], "scratch of %d is used", room)
	}
	headers := len(m.Headers)
	require.NoError(t, envelope.Open(&m))
	require.Equal(t, text, m.Value)
	require.Len(t, m.Headers, headers-1)
	require.Equal(t, "acme", envelope.Of(&m).Tenant)
	require.NoError(t, envelope.Open(&m), "a message that is not packed stays as it is")
	require.Equal(t, text, m.Value)
}

// What packing would not make smaller travels as it came.
func TestPackNeverMakesLarger(t *testing.T) {
	t.Parallel()
	noise := make([]byte, 64<<10)
	for i := 0; i < len(noise); i += 8 {
		binary.LittleEndian.PutUint64(noise[i:], rand.Uint64())
	}
	for _, value := range [][]byte{nil, []byte("short"), bytes.Repeat([]byte("a"), 1<<10-1), noise} {
		m := pack(value)
		require.Equal(t, value, m.Value)
		require.Empty(t, envelope.Of(&m).Encoding)
	}
	require.Zero(t, envelope.PackRoom(100<<20))
}

func TestUnpackRefuses(t *testing.T) {
	t.Parallel()
	huge := binary.AppendUvarint(nil, 65<<20)
	for name, c := range map[string]struct {
		encoding string
		value    []byte
		says     string
	}{
		"another encoding": {"gzip", []byte("x"), `content-encoding: "gzip" is not snappy`},
		"nothing":          {"snappy", nil, "the value is not snappy"},
		"garbage":          {"snappy", []byte{9, 0xff, 0xff, 0xff}, "the value is not snappy"},
		"a bomb":           {"snappy", append(huge, 0), "at most 67108864"},
	} {
		_, err := envelope.Unpack(c.encoding, c.value, nil)
		require.ErrorIs(t, err, fault.Invalid, name)
		require.ErrorContains(t, err, c.says, name)
		m := broker.Message{Value: c.value, Headers: []broker.Header{{Key: event.HeaderEncoding, Value: []byte(c.encoding)}}}
		require.Error(t, envelope.Open(&m))
		require.Equal(t, c.value, m.Value, "it is left as it was")
		require.Len(t, m.Headers, 1)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(pack(bytes.Repeat([]byte("ab"), 1<<10)).Value)
	f.Add([]byte{})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		if value, err := envelope.Unpack("snappy", data, make([]byte, 16)); err == nil {
			require.LessOrEqual(t, len(value), 64<<20)
		}
		m := pack(data)
		require.NoError(t, envelope.Open(&m))
		require.Equal(t, data, m.Value)
	})
}
