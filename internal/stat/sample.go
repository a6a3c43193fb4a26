package stat

import (
	"math"
	"math/rand/v2"
)

// Urn draws values without replacement from cells: the multivariate
// hypergeometric distribution, which is what the split of pooled counts into a
// reference and a sample is when there is no drift. The draws depend on the
// counts and the source alone.
type Urn struct {
	counts []uint64
	total  uint64
	// full is a tree of sums: node i has those of nodes 2i and 2i+1, and the
	// cells are its leaves. left is what is left of it during a draw.
	full, left []uint64
}

// NewUrn holds counts, which must not change while it is in use and add up to
// less than 2^64.
func NewUrn(counts []uint64) *Urn {
	leaves := 1
	for leaves < len(counts) {
		leaves *= 2
	}
	u := &Urn{counts: counts, full: make([]uint64, 2*leaves), left: make([]uint64, 2*leaves)}
	copy(u.full[leaves:], counts)
	for i := leaves - 1; i > 0; i-- {
		u.full[i] = u.full[2*i] + u.full[2*i+1]
	}
	u.total = u.full[1]
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
	if n/30 < uint64(len(u.counts)) { // a cell costs some thirty values
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

// values draws one by one, down the tree.
func (u *Urn) values(source *rand.Rand, n uint64, out []uint64) {
	clear(out)
	copy(u.left, u.full)
	leaves := len(u.left) / 2
	for range n {
		v := source.Uint64N(u.left[1])
		i := 1
		for i < leaves {
			u.left[i]--
			i *= 2
			if v >= u.left[i] {
				v -= u.left[i]
				i++
			}
		}
		u.left[i]--
		out[i-leaves]++
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
