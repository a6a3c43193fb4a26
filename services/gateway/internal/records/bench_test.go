package records_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/record"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/services/gateway/internal/door"
	"github.com/driftmesh/driftmesh/services/gateway/internal/records"
)

// nowhere is a broker that has everything at once.
type nowhere struct{}

func (nowhere) Publish(context.Context, []broker.Message) error { return nil }
func (nowhere) Close(context.Context) error                     { return nil }

type oneProfile struct{ p *record.Profile }

func (o oneProfile) Profile(context.Context, string, string) (*record.Profile, error) {
	return o.p, nil
}

// BenchmarkPublishRecords is the door's own cost of a batch of 500 records of
// 20 features.
func BenchmarkPublishRecords(b *testing.B) {
	profile := &driftv1.Profile{Uid: "01900000-0000-7000-8000-000000000001"}
	template := &ingestv1.PublishRecordsRequest{}
	for i := range 20 {
		profile.Features = append(profile.Features, &driftv1.FeatureProfile{Name: fmt.Sprintf("feature_%d", i), Type: "float"})
	}
	const n = 500
	for i := range n {
		f := &ingestv1.Features{}
		for j := range 20 {
			f.Values = append(f.Values, &ingestv1.Feature{Name: fmt.Sprintf("feature_%d", j), Value: &ingestv1.Feature_Float{Float: float64(i * j)}})
		}
		template.Records = append(template.Records, &ingestv1.Record{Id: fmt.Sprintf("record-%d", i), Profile: profile.GetUid(), Body: &ingestv1.Record_Features{Features: f}})
	}
	s := records.New(records.Limits{}, records.Deps{
		Intake: door.NewIntake(door.IntakeConfig{Topic: event.Records, Type: event.TypeRecords, Receipts: event.RecordReceipts}, "i", nowhere{}),
		Budget: door.NewBudget(1 << 30), MaxMessage: func() int { return 0 },
		Profiles: oneProfile{record.ProfileOf(profile)}, Tracer: noop.NewTracerProvider().Tracer(""),
	})
	ctx := identity.With(b.Context(), identity.Identity{Tenant: "t", Subject: "s", Kind: identity.User})
	raw, err := proto.Marshal(template)
	require.NoError(b, err)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		var req ingestv1.PublishRecordsRequest
		if err := proto.Unmarshal(raw, &req); err != nil {
			b.Fatal(err)
		}
		resp, err := s.PublishRecords(ctx, &req)
		if err != nil || resp.GetAccepted() != n {
			b.Fatal(resp, err)
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "records/s")
}
