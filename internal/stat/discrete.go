package stat

import "math"

// Table is two counts of two groups: of the first group Hits of N, and so on.
type Table struct{ HitsA, N, HitsB, M uint64 }

// Fisher is Fisher's exact p-value of a table with all its margins given: the
// sum of the hypergeometric probabilities up to that of the table (with a slack
// of 1e-7, so that equal ones count as equal), and its mid-p, which counts half
// of those that are equal. Both are 1 when no other table is possible.
func Fisher(t Table) (p, mid float64) {
	h := hypergeometric{total: t.N + t.M, hits: t.HitsA + t.HitsB, draws: t.M}
	low, high := h.support()
	if low == high {
		return 1, 1
	}
	const slack = 1e-7
	seen := h.log(t.HitsB)
	mode := min(max(h.mode(), low), high)
	equal, below := 0.0, 0.0
	add := func(k uint64) bool {
		l := h.log(k)
		v := math.Exp(l)
		switch {
		case l > seen+slack:
			return true
		case l >= seen-slack:
			equal += v
		default:
			below += v
		}
		return v > (equal+below)*1e-18 && v > 0
	}
	for k := edge(mode, high, func(k uint64) bool { return h.log(k) > seen+slack }); k <= high && add(k); k++ {
	}
	if mode > low {
		down := func(d uint64) uint64 { return mode - 1 - d }
		for d := edge(0, mode-1-low, func(d uint64) bool { return h.log(down(d)) > seen+slack }); d <= mode-1-low && add(down(d)); d++ {
		}
	}
	return clamp(equal + below), clamp(equal/2 + below)
}

// Hypergeometric is the chance of at least k hits among draws without replacement
// from total, of which hits are hits.
func Hypergeometric(k, draws, hits, total uint64) float64 {
	h := hypergeometric{total: total, hits: hits, draws: draws}
	low, high := h.support()
	if k <= low {
		return 1
	}
	sum, mode := 0.0, h.mode()
	for ; k <= high; k++ {
		v := math.Exp(h.log(k))
		sum += v
		if k > mode && v <= sum*1e-18 {
			break
		}
	}
	return clamp(sum)
}

// edge is the first of low..high for which above no longer holds, high+1 if it
// always does; above must hold first and then not.
func edge(low, high uint64, above func(uint64) bool) uint64 {
	high++
	for low < high {
		if middle := low + (high-low)/2; above(middle) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

// hypergeometric is the number of hits among draws without replacement.
type hypergeometric struct{ total, hits, draws uint64 }

func (h hypergeometric) support() (low, high uint64) {
	if h.draws+h.hits > h.total {
		low = h.draws + h.hits - h.total
	}
	return low, min(h.draws, h.hits)
}

func (h hypergeometric) mode() uint64 {
	return uint64((float64(h.draws) + 1) * ((float64(h.hits) + 1) / (float64(h.total) + 2)))
}

// log is the logarithm of the probability of k hits, from three binomial ones
// (Loader 2000).
func (h hypergeometric) log(k uint64) float64 {
	p := float64(h.draws) / float64(h.total)
	q := float64(h.total-h.draws) / float64(h.total)
	miss := h.total - h.hits
	return logBinomial(k, h.hits, p, q) + logBinomial(h.draws-k, miss, p, q) - logBinomial(h.draws, h.total, p, q)
}

func logBinomial(k, n uint64, p, q float64) float64 {
	a, b, c := float64(k), float64(n-k), float64(n)
	switch {
	case p == 0:
		return zeroIf(k == 0)
	case q == 0:
		return zeroIf(k == n)
	case k == 0:
		return c * logOf(q, p)
	case k == n:
		return c * logOf(p, q)
	}
	d := excess(p, q, a, b)
	return stirlingError(c) - stirlingError(a) - stirlingError(b) - Deviance(c*p, d) - Deviance(c*q, -d) +
		0.5*math.Log(c/a/b/(2*math.Pi))
}

func zeroIf(certain bool) float64 {
	if certain {
		return 0
	}
	return math.Inf(-1)
}

// BetaBinomial is P(X ≥ k) of n trials whose common probability has a beta
// distribution. Beyond 2^24 trials it is that distribution's tail.
func BetaBinomial(k, n uint64, a, b float64) float64 {
	switch {
	case k == 0:
		return 1
	case k > n:
		return 0
	}
	if n > 1<<24 {
		x := (float64(k) - 0.5) / float64(n)
		return Beta(x, 1-x, a, b)
	}
	if mean := float64(n) * a / (a + b); float64(k) > mean {
		return clamp(betaBinomialSum(k, n, a, b))
	}
	return clamp(1 - betaBinomialSum(n-k+1, n, b, a)) // n − X ≥ n − k + 1
}

// betaBinomialSum adds probabilities upwards from k, which is above the mean, so
// that they fall.
func betaBinomialSum(k, n uint64, a, b float64) float64 {
	x, m := float64(k), float64(n)
	term := math.Exp(logBeta(x+a, m-x+b) - logBeta(a, b) - logBeta(x+1, m-x+1) - math.Log(m+1))
	sum := 0.0
	for ; x <= m && term > sum*1e-17; x++ {
		sum += term
		term *= (m - x) / (x + 1) * (x + a) / (m - x - 1 + b)
	}
	return sum
}

// logBeta is ln B(a, b).
func logBeta(a, b float64) float64 {
	n := a + b
	return stirlingError(a) + stirlingError(b) - stirlingError(n) +
		a*logOf(a/n, b/n) + b*logOf(b/n, a/n) + 0.5*math.Log(2*math.Pi*n/a/b)
}
