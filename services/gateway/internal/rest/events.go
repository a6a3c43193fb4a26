package rest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/internal/rpc"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// heartbeat is how often something is sent while nothing arrives, so that both
// sides know that the other is there.
const heartbeat = 10 * time.Second

// tailEvents is the live tail for browsers: the call Tail, with its filters as
// parameters, as server-sent events.
//
//	spans   {"missed": 0, "traces": OTLP/JSON}
//	record  {"missed": 0, "record": …}
//	beat    {"missed": 0}, while nothing else comes
//	end     the error that ended it, last
//
// Whoever reads slowly holds up the call behind, which then drops what its bounded
// queue has no room for, and counts it.
func tailEvents(ingest ingestv1.IngestServiceClient) http.HandlerFunc {
	return allOf(&ingestv1.TailRequest{}).ask(func(w http.ResponseWriter, r *http.Request) {
		req := &ingestv1.TailRequest{}
		if err := runtime.PopulateQueryParameters(req, r.URL.Query(), utilities.NewDoubleArray(nil)); err != nil {
			writeError(w, fault.Invalid.New("%v", err).WithReason("BAD_FILTER"))
			return
		}
		ctx, cancel := context.WithCancel(asCaller(r.Context(), r.Header))
		stream, err := openTailStream(ctx, ingest, req)
		if err != nil {
			cancel()
			writeError(w, err)
			return
		}
		items, done := make(chan tailItem), make(chan struct{})
		go func() {
			defer close(done)
			receive(ctx, stream, items)
		}()
		defer func() {
			cancel()
			<-done
		}()
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Accel-Buffering", "no") // of proxies, which would hold events back
		out := &eventWriter{w: w}
		out.write("beat", marked{})
		beat := time.NewTimer(heartbeat)
		for out.err == nil {
			select {
			case i := <-items:
				out.item(i)
			case <-beat.C:
				out.write("beat", marked{Missed: out.missed})
			case <-ctx.Done():
				return
			}
			beat.Reset(heartbeat)
		}
	})
}

type tailItem struct {
	*ingestv1.TailResponse
	err error
}

type tailStream interface {
	Recv() (*ingestv1.TailResponse, error)
}

// openTailStream returns when whatever arrives is in the view, or why it is not.
func openTailStream(ctx context.Context, ingest ingestv1.IngestServiceClient, req *ingestv1.TailRequest) (tailStream, error) {
	stream, err := ingest.Tail(ctx, req)
	if err != nil {
		return nil, err
	}
	head, err := stream.Header()
	if err == nil && len(head) == 0 { // it was refused
		_, err = stream.Recv()
	}
	return stream, err
}

// receive hands over what comes until the stream or ctx ends.
func receive(ctx context.Context, stream tailStream, to chan<- tailItem) {
	for {
		m, err := stream.Recv()
		select {
		case to <- tailItem{m, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// marked is the data of an event.
type marked struct {
	Missed uint64          `json:"missed"` // messages that this reader was too slow for, so far
	Traces json.RawMessage `json:"traces,omitempty"`
	Record json.RawMessage `json:"record,omitempty"`
}

// eventWriter writes server-sent events until one fails.
type eventWriter struct {
	w      http.ResponseWriter
	missed uint64
	err    error
}

func (e *eventWriter) item(i tailItem) {
	if i.err != nil {
		e.write("end", problemOf(rpc.Status(i.err)))
		e.err = io.EOF
		return
	}
	e.missed = i.GetMissed()
	m := marked{Missed: e.missed}
	var err error
	switch i.GetItem().(type) {
	case *ingestv1.TailResponse_OtlpTraces:
		m.Traces, err = otlp.ToJSON(i.GetOtlpTraces())
	case *ingestv1.TailResponse_Record:
		m.Record, err = protojson.MarshalOptions{UseProtoNames: true}.Marshal(i.GetRecord())
	}
	switch {
	case err != nil: // its consumer parks it and says why; others are shown
	case m.Traces != nil:
		e.write("spans", m)
	case m.Record != nil:
		e.write("record", m)
	}
}

func (e *eventWriter) write(event string, data any) {
	raw, err := json.Marshal(data) // without line breaks
	if err == nil {
		_, err = e.w.Write([]byte("event: " + event + "\ndata: " + string(raw) + "\n\n"))
	}
	if err == nil {
		err = http.NewResponseController(e.w).Flush()
	}
	e.err = err
}
