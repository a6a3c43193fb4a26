package main

import (
	"math/rand/v2"
	"time"
)

// The house whose sensors are read.
var house = []struct {
	id           string
	mean, spread float64
}{
	{"cellar", 11.5, 0.5}, {"garage", 14, 0.8}, {"bedroom", 17.5, 0.6}, {"kitchen", 20.5, 0.8}, {"study", 22.5, 0.5}, {"attic", 26, 1},
}

// Fault is what goes wrong: one sensor reads too much from a time on.
type Fault struct {
	Sensor string
	By     float64
	From   time.Time // zero is never
}

// House reads the sensors. Two of one seed read the same.
type House struct {
	random *rand.Rand
	fault  Fault
}

// NewHouse is one whose readings are as random as the seed.
func NewHouse(seed uint64, fault Fault) *House {
	return &House{rand.New(rand.NewPCG(seed, 0)), fault} //nolint:gosec // nothing hangs on it
}

// Read reads some sensor.
func (h *House) Read(now time.Time) (id string, r Reading) {
	place := house[h.random.IntN(len(house))]
	temperature := place.mean + place.spread*h.random.NormFloat64()
	if place.id == h.fault.Sensor && !h.fault.From.IsZero() && !now.Before(h.fault.From) {
		temperature += h.fault.By
	}
	return place.id, Reading{now, temperature}
}

// Pause is how long until something happens that happens every so often.
func (h *House) Pause(mean time.Duration) time.Duration {
	return min(time.Duration(h.random.ExpFloat64()*float64(mean)), 5*mean)
}

// Some is a number from low to high.
func (h *House) Some(low, high int) int { return low + h.random.IntN(high-low+1) }
