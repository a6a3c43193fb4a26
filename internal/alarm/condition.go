package alarm

import "fmt"

// Direction says on which side of a baseline a metric is bad.
type Direction string

// The directions, by Scouter's names.
const (
	Above   Direction = "Above"
	Below   Direction = "Below"
	Outside Direction = "Outside"
)

// Condition is a threshold of a custom metric, as Scouter's profiles have it.
type Condition struct {
	Baseline  float64
	Direction Direction
	// Delta is what the metric may be off the baseline, nil for nothing. Its
	// sign is not looked at.
	Delta *float64
}

// Validate says what is wrong with the condition.
func (c Condition) Validate() error {
	switch c.Direction {
	case Above, Below, Outside:
		return nil
	}
	return fmt.Errorf("no such direction: %q", c.Direction)
}

// Met says whether an observed value alarms: strictly above, below, or outside
// of the baseline with delta. NaN does not, but for Outside without a delta,
// which asks whether it differs.
func (c Condition) Met(observed float64) bool {
	delta := 0.0
	if c.Delta != nil {
		delta = *c.Delta
	}
	above, below := observed > c.Baseline+delta, observed < c.Baseline-delta
	switch c.Direction {
	case Above:
		return above
	case Below:
		return below
	case Outside:
		if c.Delta == nil {
			return observed != c.Baseline
		}
		return above || below
	}
	return false
}
