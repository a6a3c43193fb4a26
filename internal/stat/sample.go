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
	// Of few values each has a place, and gone has a bit for those that are drawn.
	// The cell of a place is guide[place>>shift] or, by ends, one of the next.
	gone        []uint64
	guide, ends []uint32
	shift       int
	// Of many there is full, a tree of sums: node i has those of nodes 2i and 2i+1,
	// and the cells are its leaves. left is what is left of it during a draw.
	full, left []uint64
}

// fewPlaces bounds the values that have places: their bits are 32 KB.
const fewPlaces = 1 << 18

// NewUrn holds counts, which must not change while it is in use and add up to
// less than 2^64.
func NewUrn(counts []uint64) *Urn {
	u := &Urn{counts: counts}
	for _, c := range counts {
		u.total += c
	}
	if u.total <= fewPlaces {
		u.seat()
	} else {
		u.plant()
	}
	return u
}

// seat gives each value a place.
func (u *Urn) seat() {
	u.gone, u.ends = make([]uint64, u.total/64+1), make([]uint32, len(u.counts))
	end := uint32(0)
	for i, c := range u.counts {
		end += uint32(c) //nolint:gosec // at most fewPlaces
		u.ends[i] = end
	}
	for u.total>>u.shift > uint64(4*len(u.counts)) {
		u.shift++
	}
	u.guide = make([]uint32, u.total>>u.shift+1)
	cell := uint32(0)
	for i := range u.guide {
		for int(cell) < len(u.ends)-1 && u.ends[cell] <= uint32(i)<<u.shift { //nolint:gosec // at most fewPlaces
			cell++
		}
		u.guide[i] = cell
	}
}

// plant makes the tree.
func (u *Urn) plant() {
	leaves := 1
	for leaves < len(u.counts) {
		leaves *= 2
	}
	u.full, u.left = make([]uint64, 2*leaves), make([]uint64, 2*leaves)
	copy(u.full[leaves:], u.counts)
	for i := leaves - 1; i > 0; i-- {
		u.full[i] = u.full[2*i] + u.full[2*i+1]
	}
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
		if u.ends != nil {
			u.places(source, n, out)
		} else {
			u.values(source, n, out)
		}
		return
	}
	left := u.total
	for i, c := range u.counts {
		out[i] = hypergeometric{total: left, hits: c, draws: n}.draw(source)
		left -= c
		n -= out[i]
	}
}

// places draws one by one, again where a place is gone: at most half of them are.
func (u *Urn) places(source *rand.Rand, n uint64, out []uint64) {
	clear(out)
	clear(u.gone)
	for total := uint32(u.total); n > 0; { //nolint:gosec // at most fewPlaces
		at := source.Uint32N(total)
		if bit := uint64(1) << (at % 64); u.gone[at/64]&bit == 0 {
			u.gone[at/64] |= bit
		} else {
			continue
		}
		cell := u.guide[at>>u.shift]
		for at >= u.ends[cell] {
			cell++
		}
		out[cell]++
		n--
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
