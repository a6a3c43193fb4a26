package drift

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// answers are lags, one after the other, the last one for ever.
type answers struct {
	lags  []broker.Lag
	asked []string
	takes time.Duration // each
	err   error
}

func (a *answers) Lag(_ context.Context, topic, _ string) (broker.Lag, error) {
	a.asked = append(a.asked, topic)
	time.Sleep(a.takes)
	return a.lags[min(len(a.asked), len(a.lags))-1], a.err
}

func lagOf(total int64, oldest time.Duration) broker.Lag {
	return broker.Lag{Known: true, Pending: total, Oldest: oldest}
}

// A call waits for what was there before it in one topic after the other, and for
// nothing newer.
func TestSettleWaitsForWhatWasSentBefore(t *testing.T) {
	t.Parallel()
	records := wayOf(&profile.Profile{})
	for name, c := range map[string]struct {
		answers answers
		most    time.Duration
		asked   []string
		behind  string
	}{
		"one after the other": {
			answers{lags: []broker.Lag{
				lagOf(5, time.Hour), lagOf(5, 0) /* of unknown age */, lagOf(7, time.Nanosecond), lagOf(1, time.Hour), lagOf(0, 0),
			}}, time.Minute,
			[]string{event.Records, event.Records, event.Records, event.Windows, event.Windows}, "",
		},
		// An answer that takes longer than the message was there does not make it new.
		"slow answers": {
			answers{takes: time.Second, lags: []broker.Lag{lagOf(1, 100*time.Millisecond), lagOf(1, 1150*time.Millisecond), lagOf(0, 0)}}, time.Minute,
			[]string{event.Records, event.Records, event.Records, event.Windows}, "",
		},
		"too long":    {answers{lags: []broker.Lag{lagOf(1, time.Hour)}}, time.Millisecond, []string{event.Records}, event.Records},
		"not told":    {answers{lags: []broker.Lag{{}}}, time.Minute, []string{event.Records, event.Windows}, ""},
		"not to tell": {answers{lags: []broker.Lag{{}}, err: errors.New("away")}, time.Minute, []string{event.Records, event.Windows}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				behind, err := settle(t.Context(), &c.answers, records, c.most)
				require.NoError(t, err)
				require.Equal(t, c.behind, behind)
				require.Equal(t, c.asked, c.answers.asked)
			})
		})
	}
	ended, end := context.WithCancel(t.Context())
	end()
	_, err := settle(ended, &answers{lags: []broker.Lag{lagOf(1, time.Hour)}}, records, time.Minute)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, event.Spans, wayOf(&profile.Profile{Source: &profile.Source{Of: profile.Spans}})[0].topic)
	require.Equal(t, event.Records, wayOf(&profile.Profile{Source: &profile.Source{Of: profile.MetricRecords}})[0].topic)
}
