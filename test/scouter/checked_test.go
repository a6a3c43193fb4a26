package scouter_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
)

// requireCheckedOnce requires that every stored evaluation record of a profile was
// evaluated, whoever was killed meanwhile, and counts once.
func requireCheckedOnce(t *testing.T, conn *grpc.ClientConn, db *clickhouse.DB, profile string) {
	t.Helper()
	of := " FINAL WHERE Tenant = 'default' AND Profile = '" + profile + "'"
	sent := row[uint64](t, db, "SELECT [count(), uniqExact(RecordId)] FROM contexts"+of)
	require.NotZero(t, sent[0])
	require.Equal(t, sent[0], sent[1])
	mesh.Await(t, time.Minute, func() error {
		if now := row[uint64](t, db, "SELECT [count()] FROM check_results"+of); now[0] != sent[0] {
			return fmt.Errorf("%d records of %d were evaluated", now[0], sent[0])
		}
		return nil
	})
	now := time.Now()
	mesh.Await(t, time.Minute, func() error { // until the last windows are counted
		got, err := driftv1.NewDriftServiceClient(conn).Summarize(t.Context(), &driftv1.SummarizeRequest{
			Profile: profile, StartTime: timestamppb.New(now.Add(-time.Hour)), EndTime: timestamppb.New(now.Add(time.Minute)), Step: durationpb.New(2 * time.Hour),
		})
		if err != nil {
			return err
		}
		values := map[string][2]float64{}
		for _, s := range got.GetSteps() {
			for _, f := range s.GetFeatures() {
				v := values[f.GetName()]
				values[f.GetName()] = [2]float64{v[0] + float64(f.GetNumber()), v[1] + float64(f.GetNumber())*f.GetMean()}
			}
		}
		n := float64(sent[0]) // all of them greet
		if want := map[string][2]float64{"workflow": {n, n}, "task.greets": {n, n}}; fmt.Sprint(values) != fmt.Sprint(want) {
			return fmt.Errorf("how many, and their sum: %v, not %v", values, want)
		}
		return nil
	})
}
