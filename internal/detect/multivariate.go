package detect

import (
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/driftmesh/driftmesh/internal/stat"
)

const (
	// collinear is the least variance, in those of the features, of a direction in
	// which they vary.
	collinear = 1e-10
	// broken is how far the mean moves, in the deviations that collinear allows, along
	// a direction in which nothing varies, to be no rounding.
	broken = 10
)

// Rows are what complete rows of several features come to, in the reference's
// standard deviations from its means.
type Rows struct {
	N uint64
	// Means are of each feature. Covariances (population) are of the first with
	// itself and each after it, of the second, and so on.
	Means, Covariances []float64
	// Kurtosis is Mardia's of the reference's rows less that of normal ones; 0 where
	// it is not known.
	Kurtosis float64
}

// wellFormed says whether there are numbers of so many features.
func (r *Rows) wellFormed(features int) bool {
	for _, list := range [][]float64{r.Means, r.Covariances} {
		for _, v := range list {
			if !(math.Abs(v) <= math.MaxFloat64) {
				return false
			}
		}
	}
	return math.Abs(r.Kurtosis) <= math.MaxFloat64 && features > 0 && len(r.Means) == features && len(r.Covariances) == features*(features+1)/2
}

// at is the covariance of two features.
func (r *Rows) at(i, j int) float64 {
	i, j = min(i, j), max(i, j)
	return r.Covariances[i*(2*len(r.Means)-i-1)/2+j]
}

// hotelling is the change of the means of several features together.
//
// Hotelling (1931): T² = dᵀS⁻¹d/(1/N+1/M) with the difference d of the means and
// the pooled covariance S; T²(N+M−p−1)/(p(N+M−2)) is F(p, N+M−p−1), exactly for
// normal rows and, by the central limit theorem, for many of any. p is the rank of S:
// directions in which no row varies are left out, and that the mean moves along one
// is certain. Cells are what the features add: the squares of Garthwaite and Koch's
// (2016) decomposition, whose parts are as close to the features as can be.
var hotelling = &Detector{
	Name: "hotelling", Help: "change of the means of several features together",
	Needs: needRows, HasP: true, Params: []Param{alphaParam(), atLeast(trustedMean, 2)},
	judge: func(in *Input, p params) Result {
		a, b := in.Reference.Rows, in.Current.Rows
		r := Result{Reference: a.N, Current: b.N, Cells: make([]float64, len(a.Means))}
		if a.N < 2 || b.N < 2 {
			return r
		}
		used, d, correlations, certain := pooled(a, b, r.Cells)
		s := 1/float64(a.N) + 1/float64(b.N)
		k := len(used)
		var eigen mat.EigenSym
		if k == 0 || !eigen.Factorize(correlations, true) {
			return r.hotelling(0, 0, certain, p[Alpha])
		}
		var vectors mat.Dense
		eigen.VectorsTo(&vectors)
		rank, parts := 0, make([]float64, k)
		for column, variance := range eigen.Values(nil) {
			along := 0.0
			for i := range used {
				along += vectors.At(i, column) * d[i]
			}
			if variance < collinear {
				certain = certain || along*along > broken*broken*collinear
				continue
			}
			rank++
			for i := range used {
				parts[i] += vectors.At(i, column) * along / math.Sqrt(variance)
			}
		}
		for i, at := range used {
			r.Cells[at] = parts[i] * parts[i] / s
			r.Statistic += r.Cells[at]
		}
		return r.hotelling(rank, a.Kurtosis, certain, p[Alpha])
	},
}

// pooled are the features that vary, the differences of their means in pooled
// standard deviations, and their pooled correlations. A feature that varies on no
// side and has moved is certain, and gets all of the blame there is.
func pooled(a, b *Rows, cells []float64) (used []int, d []float64, correlations *mat.SymDense, certain bool) {
	n, m := float64(a.N), float64(b.N)
	covariance := func(i, j int) float64 { return (n*a.at(i, j) + m*b.at(i, j)) / (n + m - 2) }
	var sd []float64
	for i := range a.Means {
		moved, variance := b.Means[i]-a.Means[i], covariance(i, i)
		if variance <= 0 {
			if moved != 0 {
				certain, cells[i] = true, math.MaxFloat64/float64(len(a.Means))
			}
			continue
		}
		used, sd = append(used, i), append(sd, math.Sqrt(variance))
		d = append(d, moved/math.Sqrt(variance))
	}
	if len(used) == 0 {
		return used, d, nil, certain
	}
	correlations = mat.NewSymDense(len(used), nil)
	for i := range used {
		correlations.SetSym(i, i, 1)
		for j := range i {
			correlations.SetSym(i, j, covariance(used[i], used[j])/sd[i]/sd[j])
		}
	}
	return used, d, correlations, certain
}

// hotelling is the p-value of T² of so many features, whose rows have that kurtosis
// beyond that of normal ones. It is certain when the mean moved where nothing varies.
//
// The variance of T² is that of χ², 2p, and the fourth cumulant of the means: it adds
// κ(1/N³+1/M³)/(1/N+1/M)². Where that is more, T² has the degrees of freedom of the
// scaled χ² with that mean and that variance (Satterthwaite 1946), which are fewer.
func (r Result) hotelling(features int, kurtosis float64, certain bool, alpha float64) Result {
	n, k := float64(r.Reference)+float64(r.Current), float64(features)
	u, v := 1/float64(r.Reference), 1/float64(r.Current)
	freedom := k / (1 + max(kurtosis, 0)*(u*u*u+v*v*v)/((u+v)*(u+v))/(2*k))
	r.Judged = r.Statistic
	switch {
	case certain:
		r.Statistic, r.Judged = math.MaxFloat64, math.MaxFloat64
		r.Caveats |= Constant
		r.P, r.Method = 0, Exact
	case features == 0:
		r.Caveats |= Constant
		r.P, r.Method = 1, Exact
	case n > k+1:
		scale := (n - k - 1) / (k * (n - 2))
		r.P, r.Method = stat.F(held(r.Statistic*scale), freedom, n-k-1), Exact
		r.Threshold, r.HasThreshold = stat.FQuantile(alpha, freedom, n-k-1)/scale, true
		if freedom < k/heavy {
			r.Caveats |= Skewed
		}
	}
	return r
}

// heavy is how many times the variance of T² is that of normal rows, from which on
// the two moments do not tell its tail.
const heavy = 1.5

// Components are the main directions of rows of the reference, as unit vectors, and
// what they leave of the squares of other rows of it: the mean of so many rows, the
// standard deviation (population) and the skewness.
type Components struct {
	Vectors            [][]float64
	Number             uint64
	Mean, SD, Skewness float64
}

func (c *Components) wellFormed(features int) bool {
	for _, v := range c.Vectors {
		if len(v) != features {
			return false
		}
	}
	return c.Mean >= 0 && c.SD >= 0 && c.Mean+c.SD <= math.MaxFloat64 && math.Abs(c.Skewness) <= math.MaxFloat64
}

// pcaReconstruction is how badly the sample is described by the main components
// of the reference: the mean squared distance of its rows to them.
//
// With V the leading eigenvectors of standardised rows and P = I − VVᵀ, the mean of
// |Pz|² over a sample is tr P(Σ + δδᵀ)P with its covariance Σ and mean δ, which sums of
// products give exactly; Cells are the diagonal, and add up to it. (NannyML averages
// the norm without the square, which they cannot give.) The mean of M rows less that
// of N others has the variance σ²(1/N+1/M) and the third moment μ₃(1/M²−1/N²) of
// |Pz|², which the reference's rows tell whatever their distribution, and is held
// against Pearson's curve of type III with those moments, on both sides; where rows are
// too skewed for that, by Cochran's rule or in their mean, it is held against
// Chebyshev's bound, and said to be skewed. The N rows are others than V is of, or the reference would be
// described too well.
var pcaReconstruction = &Detector{
	Name: "pca_reconstruction", Help: "distance of rows to the reference's main components",
	Needs: needRows | needComponents, HasP: true, Params: []Param{alphaParam(), atLeast(trustedMean, 2)},
	judge: func(in *Input, p params) Result {
		c, b := in.Components, in.Current.Rows
		r := Result{Reference: c.Number, Current: b.N}
		if b.N == 0 || c.Number < 2 {
			return r
		}
		r.Cells = c.Left(b)
		for _, part := range r.Cells {
			r.Statistic += part
		}
		moved := r.Statistic - c.Mean
		r.Judged = math.Abs(moved)
		if c.SD == 0 || c.Mean < collinear { // nothing is left of any row, but for rounding
			r.Caveats |= Constant
			r.Method, r.P = Exact, map[bool]float64{true: 1}[r.Judged <= broken*broken*collinear]
			return r
		}
		n, m := float64(c.Number), float64(b.N)
		s := 1/n + 1/m
		curve := pearson(c.Skewness * (1/m - 1/n) / math.Sqrt(s))
		deviation := c.SD * math.Sqrt(s)
		r.Method, r.HasThreshold = Asymptotic, true
		if math.Abs(float64(curve)) > tooSkewed || n < cochran*c.Skewness*c.Skewness {
			r.Caveats |= Skewed
			r.P, r.Threshold = min(1, 1/held(moved/deviation*moved/deviation)), deviation/math.Sqrt(p[Alpha])
			return r
		}
		upper, lower := curve.tails(moved / deviation)
		r.P, r.Threshold = min(1, 2*min(upper, lower)), curve.quantile(p[Alpha]/2, moved >= 0)*deviation
		return r
	},
}

// Left is what the components leave of each feature's squares in rows of as many
// features: the diagonal of P(Σ + δδᵀ)P.
func (c *Components) Left(rows *Rows) []float64 {
	n := len(rows.Means)
	squares, rest := mat.NewDense(n, n, nil), mat.NewDense(n, n, nil)
	for i := range n {
		rest.Set(i, i, 1)
		for j := range n {
			squares.Set(i, j, rows.at(i, j)+rows.Means[i]*rows.Means[j])
		}
	}
	for _, v := range c.Vectors {
		for i := range n {
			for j := range n {
				rest.Set(i, j, rest.At(i, j)-v[i]*v[j])
			}
		}
	}
	var half, whole mat.Dense
	half.Mul(rest, squares)
	whole.Mul(&half, rest)
	parts := make([]float64, n)
	for i := range parts {
		parts[i] = max(whole.At(i, i), 0)
	}
	return parts
}

// pearson is Pearson's curve of type III with mean 0, variance 1 and this skewness:
// a gamma distribution, which for little skewness is the normal one.
type pearson float64

// tooSkewed is the skewness above which three moments do not tell the tails.
const tooSkewed = 1

// straight is the skewness below which the normal distribution has as many digits.
const straight = 1e-6

// shape of the gamma distribution.
func (g pearson) shape() float64 { return 4 / float64(g*g) }

// tails are the chances of x or more, and of x or less.
func (g pearson) tails(x float64) (upper, lower float64) {
	switch k := g.shape(); {
	case math.Abs(float64(g)) < straight:
		return stat.Normal(x), stat.Normal(-x)
	case g > 0:
		return stat.Gamma(k+x*math.Sqrt(k), k), stat.GammaLower(k+x*math.Sqrt(k), k)
	default:
		return stat.GammaLower(k-x*math.Sqrt(k), k), stat.Gamma(k-x*math.Sqrt(k), k)
	}
}

// quantile is the distance from 0 beyond which on that side the chance is p.
func (g pearson) quantile(p float64, above bool) float64 {
	if math.Abs(float64(g)) < straight {
		return stat.NormalQuantile(p)
	}
	k := g.shape()
	if above == (g > 0) {
		return (stat.GammaQuantile(p, k) - k) / math.Sqrt(k)
	}
	return (k - stat.GammaQuantile(1-p, k)) / math.Sqrt(k)
}
