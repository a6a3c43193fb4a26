package profile

import "math"

// Subgroups are runs of the finite values of a reference in the order of its rows,
// all of one size: what control charts take their limits from.
type Subgroups struct {
	// Size is the number of values of each.
	Size int `json:"size"`
	// Means and StdDevs (of the sample) are those of the sub-groups.
	Means   []float64 `json:"means"`
	StdDevs []float64 `json:"std_devs"`
}

const (
	// leastSubgroup is the least size of a sub-group.
	leastSubgroup = 25
	// mostSubgroups is about how many a reference is cut into: charts of single
	// values want a hundred.
	mostSubgroups = 125
)

// subgroups cuts values into sub-groups; nil where there are too few for one, or
// too large for their sum.
func subgroups(values []float64) *Subgroups {
	size := max(leastSubgroup, len(values)/mostSubgroups)
	if len(values) < size {
		return nil
	}
	g := &Subgroups{Size: size}
	for ; len(values) >= size; values = values[size:] {
		mean, sd := meanAndSD(values[:size])
		if !finite(mean) || !finite(sd) {
			return nil
		}
		g.Means, g.StdDevs = append(g.Means, mean), append(g.StdDevs, sd)
	}
	return g
}

// meanAndSD sums in the order and the width of the values, as Scouter does.
func meanAndSD[F float32 | float64](x []F) (mean, sd F) {
	var sum, m, squares F
	for i, v := range x {
		sum += v
		d := v - m // Welford's
		m += d / F(i+1)
		squares += F((v - m) * d) //nolint:unconvert // the product must not be fused into the sum
	}
	return sum / F(len(x)), F(math.Sqrt(float64(squares / F(len(x)-1))))
}

// ScouterLimits are centre and standard deviation of Scouter's control chart.
type ScouterLimits struct {
	Center float64 `json:"center"`
	Sigma  float64 `json:"sigma"`
}

// scouterLimits takes them from the values in the order of rows as Scouter's
// monitor does: chunks whose size goes by the number of rows, their means and
// standard deviations averaged without weights, the last and shorter chunk too,
// and c4 = (4n−4)/(4n−3) in 32 bits. A last chunk of one row, which would spoil
// them, is left out. nil is for fewer than two rows, and for too large values.
func scouterLimits[F float32 | float64](rows []F) *ScouterLimits {
	size := scouterSample(len(rows))
	var center, spread, chunks F
	for ; len(rows) > 1; rows = rows[min(size, len(rows)):] {
		mean, sd := meanAndSD(rows[:min(size, len(rows))])
		center, spread, chunks = center+mean, spread+sd, chunks+1
	}
	n := float32(size)
	l := &ScouterLimits{Center: float64(center / chunks), Sigma: float64(spread / chunks / F((4*n-4)/(4*n-3)))}
	if !finite(l.Center) || !finite(l.Sigma) {
		return nil
	}
	return l
}

func scouterSample(rows int) int {
	size := leastSubgroup
	for limit, next := 1000, 100; limit <= 1_000_000 && rows >= limit; limit, next = limit*10, next*10 {
		size = next
	}
	return size
}

// scouterLimitsOf are those of a column. Scouter holds every type of number but
// float64 in 32 bits.
func scouterLimitsOf(t ValueType, values []float64) *ScouterLimits {
	if t == Float {
		return scouterLimits(values)
	}
	narrow := make([]float32, len(values))
	for i, v := range values {
		narrow[i] = float32(v)
	}
	return scouterLimits(narrow)
}
