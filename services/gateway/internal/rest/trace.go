package rest

import (
	"errors"
	"io"
	"net/http"

	"github.com/driftmesh/driftmesh/internal/otlp"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

// traceRoute answers a trace as OTLP/JSON, which can be sent to /v1/traces
// again. The whole trace is read first, so that a failure is an error and never
// a part; the store bounds it.
func traceRoute(traces tracev1.TraceServiceClient) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		stream, err := traces.GetTrace(asCaller(r.Context(), r.Header), &tracev1.GetTraceRequest{TraceId: r.PathValue("trace_id")})
		if err != nil {
			writeError(w, err)
			return
		}
		var data []byte // parts of a protobuf message, one behind the other, are the message
		for {
			part, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				writeError(w, err)
				return
			}
			data = append(data, part.GetOtlpTraces()...)
			if part.GetTruncated() {
				w.Header().Set(truncatedHeader, "true")
			}
		}
		json, err := otlp.ToJSON(data)
		if err != nil {
			writeError(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(json) // the caller went away: nobody is left to tell
	}
}
