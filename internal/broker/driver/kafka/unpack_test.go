package kafka

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/segmentio/kafka-go/compress"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// zeros reads n bytes of nothing.
func zeros(n int64) io.Reader { return io.LimitReader(nothing{}, n) }

type nothing struct{}

func (nothing) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// message is the wire form of a record, whose value may be of any length.
func message(delta int, value io.Reader, size int64) io.Reader {
	head := []byte{0}                              // attributes
	head = binary.AppendVarint(head, int64(delta)) // of time
	head = binary.AppendVarint(head, int64(delta)) // of the offset
	head = binary.AppendVarint(head, -1)           // no key
	head = binary.AppendVarint(head, size)
	length := binary.AppendVarint(nil, int64(len(head))+size+1)
	return io.MultiReader(bytes.NewReader(length), bytes.NewReader(head), value, bytes.NewReader([]byte{0})) // no headers
}

func text(delta int, value string) io.Reader {
	return message(delta, bytes.NewReader([]byte(value)), int64(len(value)))
}

// batchOf packs records that count as n.
func batchOf(tb testing.TB, base int64, n int, how compress.Compression, records ...io.Reader) []byte {
	tb.Helper()
	var packed bytes.Buffer
	w := io.WriteCloser(nopCloser{&packed})
	if how != compress.None {
		w = how.Codec().NewWriter(&packed)
	}
	_, err := io.Copy(struct{ io.Writer }{w}, io.MultiReader(records...)) // lz4 can not read for itself
	require.NoError(tb, err)
	require.NoError(tb, w.Close())
	return sealed(base, n, how, packed.Bytes())
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// sealed is a batch with a right length and checksum.
func sealed(base int64, n int, how compress.Compression, packed []byte) []byte {
	b := kmsg.RecordBatch{
		FirstOffset: base, PartitionLeaderEpoch: -1, Magic: 2, Attributes: int16(how), LastOffsetDelta: int32(n - 1),
		FirstTimestamp: 1_000, MaxTimestamp: 2_000, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1,
		NumRecords: int32(n), Records: packed,
	}
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[lengthAt:], uint32(len(raw)-lengthAt-4))
	binary.BigEndian.PutUint32(raw[sumFrom-4:], crc32.Checksum(raw[sumFrom:], castagnoli))
	return raw
}

func unpacked(h haul) (values []string) {
	for _, r := range h.records {
		values = append(values, fmt.Sprintf("%d:%s", r.offset, r.value))
	}
	return values
}

var codecs = []compress.Compression{compress.None, compress.Gzip, compress.Snappy, compress.Lz4, compress.Zstd}

func TestUnpack(t *testing.T) {
	t.Parallel()
	for _, how := range codecs {
		one := batchOf(t, 5, 3, how, text(0, "a"), text(1, "b"), text(2, "c"))
		two := batchOf(t, 8, 1, how, text(0, "d"))
		raw := append(append([]byte{}, one...), two...)
		got, err := unpack(raw, 6)
		require.NoError(t, err, how)
		require.Equal(t, []string{"6:b", "7:c", "8:d"}, unpacked(got), how)
		require.EqualValues(t, 9, got.next)
		require.Zero(t, got.lost)
		require.Nil(t, got.records[0].key)
		require.EqualValues(t, 1_001, got.records[0].time.UnixMilli())

		got, err = unpack(raw[:len(raw)-1], 5)
		require.NoError(t, err)
		require.Equal(t, []string{"5:a", "6:b", "7:c"}, unpacked(got), "what was cut off is for the next fetch")
		require.EqualValues(t, 8, got.next)

		raw[len(raw)-1]++
		got, err = unpack(raw, 5)
		require.NoError(t, err)
		require.Len(t, got.records, 3, "a wrong checksum spoils no neighbour")
		_, err = unpack(raw[len(one):], 8)
		require.ErrorContains(t, err, "checksum")
	}
	framed := append([]byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"), 0, 0, 0, 0)
	plain, err := io.ReadAll(text(0, "java"))
	require.NoError(t, err)
	block := snappy.Encode(nil, plain)
	binary.BigEndian.PutUint32(framed[16:], uint32(len(block)))
	got, err := unpack(sealed(0, 1, compress.Snappy, append(framed, block...)), 0)
	require.NoError(t, err)
	require.Equal(t, []string{"0:java"}, unpacked(got))
}

// A message that unpacks to more than anybody takes costs that message, or its
// batch, and little memory; its neighbours come.
func TestUnpackBombs(t *testing.T) {
	for _, how := range codecs[1:] {
		got := exploded(t, how, recordMost+1)
		require.ErrorIs(t, got.why, errHuge)
		require.Equal(t, []string{"0:before", "2:after", "3:next"}, unpacked(got), how)
		require.EqualValues(t, 1, got.lost, how)
	}
	if testing.Short() {
		t.Skip("unpacks much; runs whole without -short")
	}
	got := exploded(t, compress.Zstd, unpackMost+1)
	require.ErrorIs(t, got.why, errBomb)
	require.Equal(t, []string{"0:before", "3:next"}, unpacked(got))
	require.EqualValues(t, 2, got.lost)
}

// exploded unpacks a bomb between two messages, and a batch after it.
func exploded(t *testing.T, how compress.Compression, size int64) haul {
	bomb := batchOf(t, 0, 3, how, text(0, "before"), message(1, zeros(size), size), text(2, "after"))
	next := batchOf(t, 3, 1, how, text(0, "next"))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := unpack(append(bomb, next...), 0)
	runtime.ReadMemStats(&after)
	require.NoError(t, err, how)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(recordMost), how)
	require.EqualValues(t, 4, got.next, how)
	return got
}

// What is sound and much is read in several goes.
func TestUnpackInGoes(t *testing.T) {
	t.Parallel()
	const n, size = 40, 1 << 20
	var records []io.Reader
	for i := range n {
		records = append(records, message(i, zeros(size), size))
	}
	raw := batchOf(t, 100, n, compress.Zstd, records...)
	next := int64(100)
	for goes := 0; next < 100+n; goes++ {
		got, err := unpack(raw, next)
		require.NoError(t, err)
		require.NotEmpty(t, got.records)
		require.LessOrEqual(t, len(got.records), haulMost/size+1)
		require.Equal(t, next, got.records[0].offset)
		require.Zero(t, got.lost)
		next = got.next
	}
}

func TestUnpackLies(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string][]byte{
		"not packed":     sealed(0, 2, compress.Zstd, []byte("this is not zstd")),
		"no such codec":  sealed(0, 2, 7, []byte("x")),
		"claims a giant": sealed(0, 2, compress.Snappy, binary.AppendUvarint(nil, 4_000_000_000)),
		"claims headers": sealed(0, 2, compress.None, []byte{14, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff}),
		"negative":       sealed(0, 2, compress.None, []byte{1, 1, 1}),
		"empty":          sealed(0, 2, compress.None, nil),
	} {
		got, err := unpack(raw, 0)
		require.NoError(t, err, name)
		require.EqualValues(t, 2, got.next, name)
		require.EqualValues(t, 2, got.lost, name)
		require.Error(t, got.why, name)
		require.Empty(t, got.records, name)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(batchOf(f, 5, 2, compress.Zstd, text(0, "a"), text(1, "b")), int64(5))
	f.Add(batchOf(f, 0, 1, compress.Snappy, text(0, "a")), int64(0))
	f.Fuzz(func(t *testing.T, packed []byte, from int64) {
		for _, how := range codecs {
			got, err := unpack(sealed(from, 2, how, packed), from)
			if err != nil || from < 0 || from > 1<<62 {
				continue
			}
			require.Equal(t, from+2, got.next, "it always goes on")
		}
	})
}
