package otlpdoor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"

	"github.com/driftmesh/driftmesh/services/gateway/internal/door"
)

// maxRatio is the most that DEFLATE can compress (zlib's technical notes).
const maxRatio = 1032

// inflater undoes gzip with pooled readers. It is safe for concurrent use.
type inflater struct {
	readers sync.Pool
	buffers *buffers
	limit   int
}

// inflate decompresses packed into a pooled buffer, which the caller puts
// back. It stops as soon as the result is larger than the limit, or the lease
// cannot grow with it.
func (z *inflater) inflate(packed []byte, l *door.Lease) (*[]byte, error) {
	r, err := z.reader(packed)
	if err != nil {
		return nil, errGzip(err)
	}
	defer z.readers.Put(r)
	held := l.Held() // what the lease covers besides the result
	out := z.buffers.Get(0)
	for size := z.guess(packed); ; size = min(2*size, z.limit+1) {
		if !l.Grow(held + size) {
			z.buffers.Put(out)
			return nil, l.Why(errBusy())
		}
		n := len(*out)
		out = z.buffers.resize(out, size)
		for n < size && err == nil {
			var got int
			got, err = r.Read((*out)[n:])
			n += got
		}
		*out = (*out)[:n]
		switch {
		case n > z.limit:
			err = errTooLarge(z.limit)
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			err = errGzip(err)
		default:
			continue
		}
		z.buffers.Put(out)
		return nil, err
	}
}

func (z *inflater) reader(packed []byte) (*gzip.Reader, error) {
	in := bytes.NewReader(packed)
	if r, ok := z.readers.Get().(*gzip.Reader); ok {
		return r, r.Reset(in)
	}
	return gzip.NewReader(in)
}

// guess is a size for the result, one more than what the trailer promises, so
// that the end is met without growing. The trailer is not to be trusted: what
// is guessed cannot be more than such a body can hold.
func (z *inflater) guess(packed []byte) int {
	size := 4 * len(packed)
	if n := len(packed); n >= 4 {
		size = int(binary.LittleEndian.Uint32(packed[n-4:]))
	}
	return min(max(size, 1<<minClass), maxRatio*len(packed), z.limit) + 1
}
