package alarm_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/alarm"
)

func TestCondition(t *testing.T) {
	t.Parallel()
	delta := func(d float64) *float64 { return &d }
	for _, test := range []struct {
		baseline  float64
		direction alarm.Direction
		delta     *float64
		observed  float64
		want      bool
	}{
		{12.02, alarm.Above, delta(1), 14, true},
		{12.02, alarm.Above, delta(1), 12.5, false},
		{12.5, alarm.Above, delta(1), 13.5, false}, // strictly
		{0.75, alarm.Below, nil, 0.65, true},
		{0.75, alarm.Below, nil, 0.76, false},
		{0.75, alarm.Below, nil, 0.75, false},
		{5, alarm.Below, delta(1), 3, true},
		{5, alarm.Below, delta(1), 5, false},
		{5, alarm.Outside, nil, 5, false},
		{5, alarm.Outside, nil, 5.000001, true},
		{5, alarm.Outside, delta(1), 6, false},
		{5, alarm.Outside, delta(1), 6.1, true},
		{5, alarm.Outside, delta(1), 3.9, true},
		{5, alarm.Outside, delta(-1), 5, true}, // the sign of delta is not validated
		{5, alarm.Above, nil, math.NaN(), false},
		{5, alarm.Outside, delta(1), math.NaN(), false},
		{5, alarm.Direction("x"), nil, 9, false},
	} {
		c := alarm.Condition{Baseline: test.baseline, Direction: test.direction, Delta: test.delta}
		require.Equal(t, test.want, c.Met(test.observed), "%+v at %g", c, test.observed)
	}
	require.NoError(t, alarm.Condition{Direction: alarm.Above}.Validate())
	require.Error(t, alarm.Condition{Direction: "above"}.Validate())
}
