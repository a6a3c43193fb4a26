package rest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
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
	most    int64       // bytes of one body
	room    int64       // bytes of all bodies
	held    atomic.Int64
}

// maxBodies is how many of the largest bodies may be in memory at once.
const maxBodies = 16

func newDesk(cfg Config, tenants *quota.Book) *desk {
	return &desk{
		tenants: tenants, places: quota.NewPool(int64(cfg.MaxRequests)), streams: quota.NewPool(int64(max(cfg.MaxRequests/4, 1))),
		most: cfg.MaxBody, room: max(maxBodies*cfg.MaxBody, minRoom),
	}
}

// minRoom lets small bodies in whatever the settings say.
const minRoom = 1 << 20

// whole answers requests once their body of at most most bytes is there.
func (d *desk) whole(most int64, next Failer) Failer {
	return failer{next, func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			in, err := d.read(r, min(most, d.most))
			defer d.held.Add(-in.held)
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
	share := d.share(r.Context())
	if places.Take(share, 1, 0, 0) != quota.Given {
		hangUp(w, r)
		next.Fail(w, r, errFull())
		return
	}
	defer places.Give(share, 1)
	next.ServeHTTP(w, r)
}

// share is what the caller's tenant has of the places, of which none takes all; nil
// for callers who are not known.
func (d *desk) share(ctx context.Context) *quota.Share {
	id, known := identity.From(ctx)
	if !known || d.tenants == nil {
		return nil
	}
	return &d.tenants.Of(id.Tenant).Places
}

func errFull() error {
	return fault.Unavailable.New("too many requests are under way").WithReason("GATEWAY_FULL").WithRetryAfter(time.Second)
}

// intake is a body that was read, and how much of the desk's room it holds.
type intake struct {
	bytes.Buffer
	held int64
}

// piece is what room is taken by.
const piece = 64 << 10

// read reads the body of a request. What the intake holds is to be given back
// also after an error.
func (d *desk) read(r *http.Request, most int64) (*intake, error) {
	in := &intake{}
	if r.ContentLength > most {
		return in, errTooLarge(most)
	}
	for {
		if d.held.Add(piece) > d.room {
			d.held.Add(-piece)
			return in, errFull()
		}
		in.held += piece
		_, err := io.CopyN(in, r.Body, piece)
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
