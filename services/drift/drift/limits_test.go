package drift_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/quota"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

// scheduled is a profile with a schedule of its own.
func scheduled(name, cron string) *driftv1.Profile {
	p := small()
	p.Name, p.Active = name, true
	p.Schedule = &driftv1.Schedule{Cron: cron}
	return p
}

// Of what a tenant may not have, waiting gives it no more: the refusal says what
// would fit, and no time to come again.
func TestProfilesAndSchedulesAreLimited(t *testing.T) {
	m := newMesh(t)
	m.tenants = quota.NewBook(quota.Limits{})
	r := m.run()
	m.tenants.Hear(quota.Change{Own: map[string]quota.Own{"acme": {quota.Profiles: 2, quota.ShortestSchedule: 60}}})
	add := func(tenant string, p *driftv1.Profile) (*driftv1.Profile, error) {
		resp, err := r.CreateProfile(as(t, tenant), &driftv1.CreateProfileRequest{Profile: p})
		return resp.GetProfile(), err
	}
	refused := func(err error, message string) {
		t.Helper()
		require.ErrorIs(t, err, fault.Exhausted)
		require.Equal(t, message, fault.Of(err).Message())
		require.Zero(t, fault.Of(err).RetryAfter())
	}
	_, err := add("acme", scheduled("fast", "*/20 * * * * *"))
	refused(err, "the limit shortest-schedule of tenant acme is 1m0s: two slots are 20s apart")
	_, err = add("acme", scheduled("uneven", "0,1 * * * * *"))
	refused(err, "the limit shortest-schedule of tenant acme is 1m0s: two slots are 1s apart")
	_, err = add("acme", scheduled("a", "* * * * *"))
	require.NoError(t, err)
	b, err := add("acme", scheduled("b", "0 3 * * *"))
	require.NoError(t, err)
	_, err = add("acme", scheduled("c", "0 3 * * *"))
	refused(err, "the limit profiles of tenant acme is 2: the schedules of 2 profiles are on; switch one off first")
	_, err = add("acme", scheduled("b", "0 4 * * *"))
	require.NoError(t, err, "a new version takes the place of the one before")
	_, err = r.SetProfileActive(as(t, "acme"), &driftv1.SetProfileActiveRequest{Profile: b.GetUid(), Active: true})
	refused(err, "the limit profiles of tenant acme is 2: the schedules of 2 profiles are on; switch one off first")
	off := scheduled("d", "0 3 * * *")
	off.Active = false
	d, err := add("acme", off)
	require.NoError(t, err, "a profile whose schedule is off costs nothing")
	_, err = r.SetProfileActive(as(t, "acme"), &driftv1.SetProfileActiveRequest{Profile: "ml/a", Active: false})
	require.NoError(t, err)
	_, err = r.SetProfileActive(as(t, "acme"), &driftv1.SetProfileActiveRequest{Profile: d.GetUid(), Active: true})
	require.NoError(t, err)
	_, err = add("beta", scheduled("fast", "* * * * * *"))
	require.NoError(t, err, "another tenant has no such limits")
}

// 150 profiles with a schedule of every second each cost an evaluation a minute, and
// another tenant's schedule has its turn among the first.
func TestPerSecondSchedules(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	const many = 150
	for i := range many {
		_, err := r.CreateProfile(as(t, "flood"), &driftv1.CreateProfileRequest{Profile: scheduled(fmt.Sprint("p", i), "* * * * * *")})
		require.NoError(t, err)
	}
	quiet, err := r.CreateProfile(as(t, "quiet"), &driftv1.CreateProfileRequest{Profile: scheduled("q", "* * * * *")})
	require.NoError(t, err)
	m.clock.set(noon.Add(10*time.Minute + 30*time.Second))
	require.Eventually(t, func() bool {
		resp, err := r.ListScores(as(t, "quiet"), &driftv1.ListScoresRequest{Profile: quiet.GetProfile().GetUid(), PageSize: 1})
		require.NoError(t, err)
		return len(resp.GetEvaluations()) > 0
	}, patience, tick)
	evaluated := func() float64 { return r.sum("driftmesh_drift_evaluations_total") }
	require.Less(t, evaluated(), 75.0, "before half of the flood had one turn")
}

// sum adds up the series of a counter.
func (r *running) sum(name string) (sum float64) {
	r.t.Helper()
	families, err := r.stats.Gather()
	require.NoError(r.t, err)
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}
