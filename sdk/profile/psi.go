package profile

import (
	"math"
	"strconv"
)

// Smoothing is added to both proportions of a bin so that an empty bin has a
// finite logarithm. Nothing else is smoothed.
const Smoothing = 1e-10

// Contribution is what one bin adds to the population stability index:
// (p' - q')·ln(p'/q') with p' = p + [Smoothing], p the reference share and q
// the observed one (Siddiqi 2006). It is never negative.
func Contribution(p, q float64) float64 {
	p += Smoothing
	q += Smoothing
	return float64((p - q) * math.Log(p/q))
}

// PSI returns the population stability index between reference shares and
// observed counts of the same regular bins, with the contribution of each bin
// and the number of observations. It is the index as Scouter has it, and the
// mesh's detector psi_scouter; that called psi adds half a row to each bin instead
// of [Smoothing], so that one stray row is no disaster. Contributions are summed
// in bin order, so the digits depend on the counts alone. With no observation
// every observed share is 0. It fails when the lengths differ.
func PSI(reference []float64, counts []uint64) (index float64, contributions []float64, sample uint64, err error) {
	if len(reference) != len(counts) {
		return 0, nil, 0, &Error{Rule: "BIN_COUNT", Detail: "the reference has " + strconv.Itoa(len(reference)) +
			" bins and the counts " + strconv.Itoa(len(counts))}
	}
	for _, n := range counts {
		sample += n
	}
	contributions = make([]float64, len(counts))
	for i, p := range reference {
		contributions[i] = Contribution(p, Share(counts[i], sample))
		index += contributions[i]
	}
	return index, contributions, sample, nil
}

// Share returns count/total, and 0 of nothing.
func Share(count, total uint64) float64 {
	if total == 0 {
		return 0
	}
	return float64(count) / float64(total)
}
