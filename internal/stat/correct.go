package stat

import (
	"cmp"
	"slices"
)

// Bonferroni multiplies each p-value by their number.
func Bonferroni(p []float64) []float64 {
	out := make([]float64, len(p))
	for i, v := range p {
		out[i] = min(v*float64(len(p)), 1)
	}
	return out
}

// Holm returns adjusted p-values in the order given (Holm 1979): the i-th
// smallest times the number of those not smaller, never below one before it.
func Holm(p []float64) []float64 {
	out := make([]float64, len(p))
	last := 0.0
	for i, k := range ascending(p) {
		last = max(last, min(p[k]*float64(len(p)-i), 1))
		out[k] = last
	}
	return out
}

// BenjaminiHochberg returns adjusted p-values in the order given (Benjamini and
// Hochberg 1995): the i-th smallest times m/i, never above one after it.
func BenjaminiHochberg(p []float64) []float64 {
	out := make([]float64, len(p))
	last, m := 1.0, float64(len(p))
	order := ascending(p)
	for i := len(order) - 1; i >= 0; i-- {
		last = min(last, p[order[i]]*m/float64(i+1))
		out[order[i]] = last
	}
	return out
}

func ascending(p []float64) []int {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	return order
}
