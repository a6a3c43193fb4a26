package otlpdoor

import (
	"math/bits"
	"sync"

	"google.golang.org/grpc/mem"
)

// Buffers are pooled in classes of powers of two, from 256 B to 4 MiB. Larger
// ones are rare and left to the garbage collector.
const (
	minClass = 8
	maxClass = 22
)

// buffers is a pool that, unlike grpc's own, does not clear what it lends: on
// this path that would cost more than all the checks. It is safe for
// concurrent use.
type buffers struct{ classes [maxClass + 1]sync.Pool }

var _ mem.BufferPool = (*buffers)(nil)

// Get lends a buffer of length n with anything in it.
func (p *buffers) Get(n int) *[]byte {
	class := minClass
	if n > 1<<minClass {
		class = bits.Len(uint(n - 1))
	}
	if class > maxClass {
		b := make([]byte, n)
		return &b
	}
	if b, ok := p.classes[class].Get().(*[]byte); ok {
		*b = (*b)[:n]
		return b
	}
	b := make([]byte, n, 1<<class)
	return &b
}

// Put takes a buffer back.
func (p *buffers) Put(b *[]byte) {
	class := bits.Len(uint(cap(*b))) - 1
	if class < minClass || class > maxClass || cap(*b) != 1<<class {
		return
	}
	p.classes[class].Put(b)
}

// resize gives a buffer of length n that begins with what b holds, and takes b
// back if it is another one.
func (p *buffers) resize(b *[]byte, n int) *[]byte {
	if n <= cap(*b) {
		*b = (*b)[:n]
		return b
	}
	larger := p.Get(n)
	copy(*larger, *b)
	p.Put(b)
	return larger
}
