package rest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/quota"
)

// desk has the places in which requests are answered, and the memory that their
// bodies wait in. A body is read before its request takes a place: so whoever
// sends slowly holds a connection, some bytes, and nothing that others need.
// It is safe for concurrent use.
type desk struct {
	tenants *quota.Book // nil is none
	places  *quota.Pool
	streams *quota.Pool // of requests whose body is read while they are answered
	bodies  *quota.Pool // bytes of all bodies
	most    int64       // bytes of one body
	// unknown is what callers have of the pools whom nobody knows yet: who logs in.
	unknown struct{ places, bodies quota.Share }
}

// unknownPart is the part of a pool that callers may have together whom nobody knows, so
// that they keep out one another and nobody else.
const unknownPart = 4

// maxBodies is how many of the largest bodies may be in memory at once.
const maxBodies = 16

func newDesk(cfg Config, tenants *quota.Book) *desk {
	return &desk{
		tenants: tenants, places: quota.NewPool(int64(cfg.MaxRequests)), streams: quota.NewPool(int64(max(cfg.MaxRequests/4, 1))),
		bodies: quota.NewPool(max(maxBodies*cfg.MaxBody, minRoom)), most: cfg.MaxBody,
	}
}

// minRoom lets small bodies in whatever the settings say.
const minRoom = 1 << 20

// whole answers requests once their body of at most most bytes is there.
func (d *desk) whole(most int64, next Failer) Failer {
	return failer{next, func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			in, err := d.read(r, min(most, d.most))
			defer d.bodies.Give(in.share, in.held)
			if err != nil {
				hangUp(w, r)
				next.Fail(w, r, err)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(in.Bytes()))
		}
		d.answer(d.places, w, r, next)
	}}
}

// stream answers requests while their body comes in.
func (d *desk) stream(next Failer) Failer {
	return failer{next, func(w http.ResponseWriter, r *http.Request) {
		b := bodyOf(r.Context())
		b.limit = d.most
		b.ReadCloser = http.MaxBytesReader(w, b.ReadCloser, d.most)
		b.pace.got = 1 << 40 // a stream may go on as long as it does not stall
		d.answer(d.streams, w, r, next)
	}}
}

func (d *desk) answer(places *quota.Pool, w http.ResponseWriter, r *http.Request, next Failer) {
	share, own := d.share(r.Context(), places, func(t *quota.Tenant) *quota.Share { return &t.Places }, &d.unknown.places)
	if places.Take(share, 1, own, 0) != quota.Given {
		hangUp(w, r)
		next.Fail(w, r, errFull())
		return
	}
	defer places.Give(share, 1)
	next.ServeHTTP(w, r)
}

// charged counts what cannot be read against the rate of the caller's tenant: it has cost
// what can be read does, which is counted where it is taken in.
func (d *desk) charged(next Failer) Failer {
	return failer{next, func(w http.ResponseWriter, r *http.Request) {
		said := &noted{ResponseWriter: w}
		next.ServeHTTP(said, r)
		id, known := identity.From(r.Context())
		if b := bodyOf(r.Context()); said.code == http.StatusBadRequest && known && b != nil && d.tenants != nil {
			d.tenants.Of(id.Tenant).Charge(time.Now(), int(b.size), 1)
		}
	}}
}

// noted is a response of which the status is noted.
type noted struct {
	http.ResponseWriter
	code int
}

// WriteHeader implements http.ResponseWriter.
func (n *noted) WriteHeader(code int) {
	n.code = code
	n.ResponseWriter.WriteHeader(code)
}

// Flush implements http.Flusher.
func (n *noted) Flush() { _ = http.NewResponseController(n.ResponseWriter).Flush() }

// Unwrap is for http.ResponseController.
func (n *noted) Unwrap() http.ResponseWriter { return n.ResponseWriter }

// share is what the caller's tenant has of a pool, of which none takes all, or what all
// have whom nobody knows, and how much that may be, 0 for what is fair. It is nil where
// there are no tenants.
func (d *desk) share(ctx context.Context, pool *quota.Pool, of func(*quota.Tenant) *quota.Share, unknown *quota.Share) (_ *quota.Share, own int64) {
	id, known := identity.From(ctx)
	switch {
	case d.tenants == nil:
		return nil, 0
	case !known:
		return unknown, max(pool.Limit()/unknownPart, 1)
	}
	return of(d.tenants.Of(id.Tenant)), 0
}

func errFull() error {
	return fault.Unavailable.New("too many requests are under way").WithReason("GATEWAY_FULL").WithRetryAfter(time.Second)
}

// intake is a body that was read, and how much it holds of the room for bodies.
type intake struct {
	bytes.Buffer
	share *quota.Share
	held  int64
}

// piece is what room is taken by, and firstPiece the first: who begins a body and does
// not go on must not hold what others could send.
const piece, firstPiece = 64 << 10, 1 << 10

// read reads the body of a request. What the intake holds is to be given back
// also after an error.
func (d *desk) read(r *http.Request, most int64) (*intake, error) {
	share, own := d.share(r.Context(), d.bodies, func(t *quota.Tenant) *quota.Share { return &t.Bodies }, &d.unknown.bodies)
	in := &intake{share: share}
	if r.ContentLength > most {
		return in, errTooLarge(most)
	}
	for size := int64(firstPiece); ; size = min(2*size, piece) {
		if d.bodies.Take(share, size, own, 0) != quota.Given {
			return in, errFull()
		}
		in.held += size
		_, err := io.CopyN(in, r.Body, size)
		switch {
		case int64(in.Len()) > most:
			return in, errTooLarge(most)
		case errors.Is(err, io.EOF):
			return in, nil
		case err != nil:
			return in, fault.Invalid.Wrap(err, "the request body ended too early, or came too slowly").WithReason("BODY_TRUNCATED")
		}
	}
}
