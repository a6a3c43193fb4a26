package stat

import (
	"math"
	"math/rand/v2"
	"sort"
)

// Urn draws values without replacement from cells: the multivariate
// hypergeometric distribution, which is what the split of pooled counts into a
// reference and a sample is when there is no drift. The draws depend on the
// counts and the source alone.
type Urn struct {
	counts []uint64
	ends   []uint64 // cumulative counts
	total  uint64
	seen   map[uint64]struct{}
}

// NewUrn holds counts, which must not change while it is in use and add up to
// less than 2^64.
func NewUrn(counts []uint64) *Urn {
	u := &Urn{counts: counts, ends: make([]uint64, len(counts)), seen: map[uint64]struct{}{}}
	for i, c := range counts {
		u.total += c
		u.ends[i] = u.total
	}
	return u
}

// Draw puts into out how many of n values drawn fall into each cell; n is at
// most what there is.
func (u *Urn) Draw(source *rand.Rand, n uint64, out []uint64) {
	if n > u.total/2 { // what is left behind is as random, and less
		u.Draw(source, u.total-n, out)
		for i, c := range u.counts {
			out[i] = c - out[i]
		}
		return
	}
	// A value costs about a twentieth of a cell.
	if n/20 < uint64(len(u.counts)) {
		u.values(source, n, out)
		return
	}
	left := u.total
	for i, c := range u.counts {
		out[i] = hypergeometric{total: left, hits: c, draws: n}.draw(source)
		left -= c
		n -= out[i]
	}
}

// values draws one by one; a value that was drawn before is drawn again.
func (u *Urn) values(source *rand.Rand, n uint64, out []uint64) {
	clear(out)
	clear(u.seen)
	for range n {
		v := source.Uint64N(u.total)
		for {
			if _, again := u.seen[v]; !again {
				break
			}
			v = source.Uint64N(u.total)
		}
		u.seen[v] = struct{}{}
		out[sort.Search(len(u.ends), func(i int) bool { return u.ends[i] > v })]++
	}
}

// draw inverts the distribution, going outwards from its mode.
func (h hypergeometric) draw(source *rand.Rand) uint64 {
	low, high := h.support()
	if low == high {
		return low
	}
	up := min(max(h.mode(), low), high)
	down := up
	at := math.Exp(h.log(up))
	above, below := at, at
	t, k, n := float64(h.total), float64(h.hits), float64(h.draws)
	for rest := source.Float64() - at; rest >= 0; {
		if up == high && down == low {
			return up // rounding left a crumb
		}
		if up < high {
			x := float64(up)
			above *= (k - x) / (x + 1) * (n - x) / (t - k - n + x + 1)
			up++
			if rest -= above; rest < 0 {
				return up
			}
		}
		if down > low {
			x := float64(down)
			below *= x / (k - x + 1) * (t - k - n + x) / (n - x + 1)
			down--
			if rest -= below; rest < 0 {
				return down
			}
		}
		if above == 0 && below == 0 {
			break
		}
	}
	return min(max(h.mode(), low), high)
}
