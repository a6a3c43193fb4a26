package jaeger

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

// part is a piece of a trace; pieces of one trace follow one another.
type part struct {
	traceID   string // hex; "" where all parts are of one trace
	otlp      []byte // TracesData
	truncated bool
	more      bool // there are more traces than are sent
}

// message is what the trace store streams.
type message interface {
	GetOtlpTraces() []byte
	GetTruncated() bool
}

// partsOf reads a stream until it ends or fails.
func partsOf[M message](recv func() (M, error)) iter.Seq2[part, error] {
	return func(yield func(part, error) bool) {
		for {
			m, err := recv()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(part{}, err)
				return
			}
			p := part{otlp: m.GetOtlpTraces(), truncated: m.GetTruncated()}
			if more, may := any(m).(interface{ GetMore() bool }); may {
				p.more = more.GetMore()
			}
			if named, ok := any(m).(interface{ GetTraceId() string }); ok {
				p.traceID = named.GetTraceId()
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

// missingTrace says that one of several traces asked for is not there.
type missingTrace struct{ id string }

func (m missingTrace) Error() string { return traceNotFound }

// byIDs reads the traces of a search by id, one after the other.
func (h *Handler) byIDs(ctx context.Context, q *searchQuery) iter.Seq2[part, error] {
	return func(yield func(part, error) bool) {
		for _, id := range q.traceIDs {
			stream, err := h.traces.GetTrace(ctx, &tracev1.GetTraceRequest{
				TraceId: id, StartTime: timestamppb.New(q.start), EndTime: timestamppb.New(q.end),
			})
			if err != nil {
				yield(part{}, err)
				return
			}
			for p, err := range partsOf(stream.Recv) {
				p.traceID = id
				if errors.Is(err, fault.NotFound) {
					err = missingTrace{id}
				}
				if !yield(p, err) {
					return
				}
			}
		}
	}
}

// streamTraces answers a legacy request trace by trace, so that an answer with
// many costs the memory of one.
func (h *Handler) streamTraces(w http.ResponseWriter, r *http.Request, parts iter.Seq2[part, error]) {
	answer := &held{w: w}
	out := newTraceWriter(answer)
	for p, err := range parts {
		if missing, is := errors.AsType[missingTrace](err); is {
			out.errors = append(out.errors, jsonError{Msg: traceNotFound, TraceID: shortID(missing.id)})
			continue
		}
		if err == nil {
			err = out.add(p)
		}
		if err != nil {
			answer.breakOff()
			h.Fail(w, r, err)
			return
		}
	}
	if !out.begun() && r.PathValue("id") != "" {
		h.Fail(w, r, fault.NotFound.New(traceNotFound))
		return
	}
	if err := out.end(); err != nil {
		answer.breakOff()
		h.Fail(w, r, err)
	}
}

// shortID is an id of 32 digits as Jaeger writes it.
func shortID(id string) string {
	if len(id) == 32 && id[:16] == "0000000000000000" {
		return id[16:]
	}
	return id
}
