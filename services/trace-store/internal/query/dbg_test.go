package query_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/driftmesh/driftmesh/services/trace-store/internal/query"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/tracetest"
)

func TestDbg(t *testing.T) {
	f := setup(t, query.Limits{})
	data := tracetest.Realistic(rand.New(rand.NewPCG(4, 4)), scaleBase)
	id := data.ResourceSpans[0].ScopeSpans[0].Spans[0].TraceId
	f.write(f.message("acme", data))
	for _, r := range []query.Range{{}, {Start: time.Unix(0, scaleBase)}, {Start: time.Unix(0, scaleBase-1e9), End: time.Unix(0, scaleBase+5e9)}, {End: time.Unix(0, scaleBase+5e9)}} {
		n := 0
		err := f.reader.Trace(t.Context(), "acme", query.TraceID(id), r, func(p query.Part) error { n += p.Spans; return nil })
		fmt.Println(r, n, err)
	}
}
