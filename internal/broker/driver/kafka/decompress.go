package kafka

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
)

var buffers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 16<<10) }}

// opened reads what a batch has packed, piece by piece and in bounded memory; done
// frees what that took.
func opened(how compress.Compression, packed []byte) (in *bufio.Reader, done func(), err error) {
	var src io.ReadCloser
	switch how {
	case compress.None:
		src = io.NopCloser(bytes.NewReader(packed))
	case kafkago.Zstd:
		src, err = unzstd(packed)
	case kafkago.Snappy:
		src, err = unsnappy(packed)
	default:
		codec := how.Codec()
		if codec == nil {
			return nil, nil, fmt.Errorf("compression %d is not known", how)
		}
		src = codec.NewReader(bytes.NewReader(packed))
	}
	if err != nil {
		return nil, nil, err
	}
	in = buffers.Get().(*bufio.Reader) //nolint:forcetypeassert // nothing else is put
	in.Reset(src)
	return in, func() {
		_ = src.Close() // it is only memory
		in.Reset(nil)
		buffers.Put(in)
	}, nil
}

// windowMost is how far back zstd may refer, which is what unpacking takes.
// Kafka's clients take 8 MiB at their highest level.
const windowMost = 16 << 20

var decoders sync.Pool // of *zstd.Decoder

type zstdReader struct{ *zstd.Decoder }

// Close implements io.Closer.
func (r zstdReader) Close() error {
	err := r.Reset(nil)
	decoders.Put(r.Decoder)
	return err
}

func unzstd(packed []byte) (io.ReadCloser, error) {
	if d, ok := decoders.Get().(*zstd.Decoder); ok {
		return zstdReader{d}, d.Reset(bytes.NewReader(packed))
	}
	d, err := zstd.NewReader(bytes.NewReader(packed),
		zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(windowMost))
	return zstdReader{d}, err
}

// Java's clients frame their snappy blocks: a header, and the length before each
// block.
const (
	snappyMark   = "\x82SNAPPY\x00"
	snappyHeader = 16
)

var errSnappy = errors.New("snappy: a block is not sound")

// snappyReader unpacks one block after the other.
type snappyReader struct {
	packed []byte
	framed bool
	block  []byte
	rest   []byte // of block, not read yet
}

func unsnappy(packed []byte) (io.ReadCloser, error) {
	r := &snappyReader{packed: packed}
	if r.framed = bytes.HasPrefix(packed, []byte(snappyMark)); r.framed {
		if len(packed) < snappyHeader {
			return nil, errSnappy
		}
		r.packed = packed[snappyHeader:]
	}
	return io.NopCloser(r), nil
}

// Read implements io.Reader.
func (r *snappyReader) Read(p []byte) (n int, err error) {
	for len(r.rest) == 0 {
		if len(r.packed) == 0 {
			return 0, io.EOF
		}
		one := r.packed
		if r.framed {
			if len(r.packed) < 4 || uint64(binary.BigEndian.Uint32(r.packed)) > uint64(len(r.packed)-4) {
				return 0, errSnappy
			}
			one = r.packed[4 : 4+binary.BigEndian.Uint32(r.packed)]
			r.packed = r.packed[4+len(one):]
		} else {
			r.packed = nil
		}
		if size, err := snappy.DecodedLen(one); err != nil || size > recordMost {
			return 0, errSnappy // the length is its own claim
		}
		if r.block, err = snappy.Decode(r.block[:cap(r.block)], one); err != nil {
			return 0, fmt.Errorf("snappy: %w", err)
		}
		r.rest = r.block
	}
	n = copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
