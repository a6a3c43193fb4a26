package main

import (
	"errors"
	"sync"
	"time"
)

// What is kept of each sensor, whatever it sends: these many readings, and what
// its last minute comes to, by the second.
const (
	maxSensors  = 1000
	maxReadings = 256
	minute      = 60
)

// errTooMany is said to a sensor that is one too many.
var errTooMany = errors.New("no more sensors can be kept")

// Reading is a temperature at a time.
type Reading struct {
	At          time.Time
	Temperature float64
}

// Averages are the mean temperatures of a sensor and how many readings each is of.
type Averages struct {
	All, Minute           float64
	Readings, MinuteCount int
}

// History keeps the readings of sensors in bounded memory. It is safe for
// concurrent use.
type History struct {
	now func() time.Time

	mu      sync.Mutex
	sensors map[string]*sensor
}

// sum is what some readings add up to.
type sum struct {
	second int64 // since 1970, of those of the last minute
	count  int
	total  float64
}

func (s sum) mean() float64 {
	if s.count == 0 {
		return 0
	}
	return s.total / float64(s.count)
}

type sensor struct {
	latest  []Reading // the newest maxReadings, a ring once it is full
	next    int       // the oldest in latest, when it is full
	all     sum
	seconds [minute]sum
}

// NewHistory is an empty one that takes the time from now.
func NewHistory(now func() time.Time) *History {
	return &History{now: now, sensors: map[string]*sensor{}}
}

// Add keeps a reading and says what the sensor's averages are with it. The minute
// is that before now by the readings' own times: one that comes late counts where
// it belongs, or not at all, and one of the future counts now.
func (h *History) Add(id string, r Reading) (Averages, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, known := h.sensors[id]
	if !known {
		if len(h.sensors) == maxSensors {
			return Averages{}, errTooMany
		}
		s = &sensor{}
		h.sensors[id] = s
	}
	if len(s.latest) < maxReadings {
		s.latest = append(s.latest, r)
	} else {
		s.latest[s.next] = r
		s.next = (s.next + 1) % maxReadings
	}
	s.all.count++
	s.all.total += r.Temperature
	if second := min(r.At.Unix(), h.now().Unix()); second >= 0 {
		slot := &s.seconds[second%minute]
		if slot.second < second {
			*slot = sum{second: second}
		}
		if slot.second == second {
			slot.count++
			slot.total += r.Temperature
		}
	}
	return s.averages(h.now()), nil
}

func (s *sensor) averages(now time.Time) Averages {
	var last sum
	for _, slot := range s.seconds {
		if slot.second > now.Unix()-minute && slot.second <= now.Unix() {
			last.count += slot.count
			last.total += slot.total
		}
	}
	return Averages{All: s.all.mean(), Readings: s.all.count, Minute: last.mean(), MinuteCount: last.count}
}

// Readings are those that are kept of a sensor, in the order in which they came.
func (h *History) Readings(id string) []Reading {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.sensors[id]
	if s == nil {
		return nil
	}
	return append(append([]Reading(nil), s.latest[s.next:]...), s.latest[:s.next]...)
}

// Averages are those of every sensor.
func (h *History) Averages() map[string]Averages {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make(map[string]Averages, len(h.sensors))
	for id, s := range h.sensors {
		all[id] = s.averages(h.now())
	}
	return all
}
