package detect

import (
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/driftmesh/driftmesh/internal/alarm"
	"github.com/driftmesh/driftmesh/internal/exact"
	"github.com/driftmesh/driftmesh/internal/stat"
)

const (
	// collinear is what a pivot must keep of its diagonal.
	collinear = 1e-10
	// explained is the share of the variance that components are kept for.
	explained = 0.65
	// farthest bounds numbers in standard deviations, so that squares are finite.
	farthest = 1e150
)

// hotelling is the change of the means of several features together.
//
// Hotelling (1931): T² = dᵀS⁻¹d/(1/N+1/M) with the difference d of the means and
// the pooled covariance S; T²(N+M−p−1)/(p(N+M−2)) is F(p, N+M−p−1). Features
// that are constant or follow from others are left out, and Cells says 0 for
// them; the others' are the squares that the features add one after another.
var hotelling = &Detector{
	Name: "hotelling", Help: "change of the means of several features together",
	Needs: needRows, HasP: true, Params: []Param{alphaParam(), atLeast(trustedMean, 2)},
	judge: func(in *Input, p params) Result {
		a, b := in.Reference.Rows, in.Current.Rows
		r := Result{Reference: a.N(), Current: b.N(), Cells: make([]float64, a.Columns())}
		if a.N() < 2 || b.N() < 2 {
			return r
		}
		s, d := pooled(a, b)
		n, m := float64(a.N()), float64(b.N())
		used, certain := 0, false
		rest := make([][]float64, 0, len(d)) // rows of Cholesky's factor in use
		var y []float64
		for i := range d {
			if s[i][i] == 0 {
				certain = certain || d[i] != 0
				continue
			}
			row, pivot, sum := make([]float64, len(rest)), s[i][i], d[i]
			for k := range rest {
				row[k] = s[i][indexOf(rest[k])]
				for l := range k {
					row[k] -= row[l] * rest[k][l+1]
				}
				row[k] /= rest[k][k+1]
				pivot -= row[k] * row[k]
				sum -= row[k] * y[k]
			}
			if pivot < collinear*s[i][i] {
				continue
			}
			root := math.Sqrt(pivot)
			rest = append(rest, append(append([]float64{float64(i)}, row...), root))
			y = append(y, sum/root)
			r.Cells[i] = y[used] * y[used] / (1/n + 1/m)
			r.Statistic += r.Cells[i]
			used++
		}
		return r.hotelling(used, certain, p[Alpha])
	},
}

func indexOf(row []float64) int { return int(row[0]) }

// hotelling is the p-value of T² of so many features. It is certain when a
// feature that never varies has another value.
func (r Result) hotelling(features int, certain bool, alpha float64) Result {
	n, k := float64(r.Reference)+float64(r.Current), float64(features)
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
		r.P, r.Method = stat.F(held(r.Statistic*scale), k, n-k-1), Exact
		r.Threshold, r.HasThreshold = stat.FQuantile(alpha, k, n-k-1)/scale, true
	}
	return r
}

// pooled is the pooled covariance and the difference of means, each feature in
// its pooled standard deviations: T² does not depend on units, and so nothing
// overflows. A feature that is constant on both sides has 0 on the diagonal.
func pooled(a, b *exact.Matrix) (s [][]float64, d []float64) {
	n, m := float64(a.N()-1), float64(b.N()-1)
	columns := a.Columns()
	ofA, ofB := make([]float64, columns), make([]float64, columns)
	s, d = make([][]float64, columns), make([]float64, columns)
	for i := range columns {
		x, y := a.Column(i), b.Column(i)
		sa, sb := deviation(x), deviation(y)
		d[i], _ = meanChange(x, y)
		if sd := math.Hypot(sa*math.Sqrt(n/(n+m)), sb*math.Sqrt(m/(n+m))); sd > 0 {
			ofA[i], ofB[i] = sa/sd, sb/sd
			d[i] = max(-farthest, min(farthest, d[i]/sd))
		}
	}
	for i := range columns {
		s[i] = make([]float64, columns)
		for j := range i {
			s[i][j] = (n*a.Correlation(i, j)*ofA[i]*ofA[j] + m*b.Correlation(i, j)*ofB[i]*ofB[j]) / (n + m)
		}
		s[i][i] = (n*ofA[i]*ofA[i] + m*ofB[i]*ofB[i]) / (n + m)
	}
	return s, d
}

// pcaReconstruction is how badly the sample is described by the main components
// of the reference: the mean squared distance of its rows to them.
//
// Features are standardised by the reference's mean and population deviation; V
// are the leading eigenvectors of its correlations up to 65 % of the variance. A
// window's mean squared residual is tr((I − VVᵀ)(Σ_c + δδᵀ)) with its population
// covariance and mean in those units, which cross products give exactly.
// (NannyML averages the norm without the square, which they cannot.) It is
// judged by mean ± 3 deviations of reference chunks of the sample's size, on
// both sides.
var pcaReconstruction = &Detector{
	Name: "pca_reconstruction", Help: "distance of rows to the reference's main components",
	Needs: needRows, Params: []Param{
		{Name: "deviations", Help: "deviations of reference chunks that are allowed", Default: 3, Min: 0.5, Max: 100}, atLeast(trustedMean, 2),
	},
	judge: func(in *Input, p params) Result {
		a, b := in.Reference.Rows, in.Current.Rows
		r := Result{Reference: a.N(), Current: b.N()}
		c, ok := newComponents(a)
		if !ok || b.N() == 0 {
			r.Caveats |= Unsuited
			return r
		}
		r.Statistic = c.residual(b)
		var chunks []float64
		for _, m := range in.Chunks {
			if m != nil && m.Columns() == a.Columns() && m.N() > 0 {
				chunks = append(chunks, c.residual(m))
			}
		}
		band, err := alarm.NewBand(chunks, p["deviations"])
		if err != nil {
			r.Caveats |= Unsuited
			return r
		}
		r.Judged = math.Abs(r.Statistic - band.Mean)
		r.Threshold, r.HasThreshold = band.Upper-band.Mean, true
		return r
	},
}

// components are what is left of the features beside the main components.
type components struct {
	of   *exact.Matrix
	used []int      // the features that vary
	sd   []float64  // population deviations of those
	rest *mat.Dense // I − VVᵀ
}

func newComponents(of *exact.Matrix) (c components, ok bool) {
	c.of = of
	if of.N() < 2 {
		return c, false
	}
	shrink := math.Sqrt(float64(of.N()-1) / float64(of.N()))
	for i := range of.Columns() {
		if sd := deviation(of.Column(i)) * shrink; sd > 0 {
			c.used, c.sd = append(c.used, i), append(c.sd, sd)
		}
	}
	k := len(c.used)
	if k == 0 {
		return c, false
	}
	correlations := mat.NewSymDense(k, nil)
	for i := range k {
		for j := i; j < k; j++ {
			correlations.SetSym(i, j, of.Correlation(c.used[i], c.used[j]))
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(correlations, true) {
		return c, false
	}
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	values := eigen.Values(nil) // ascending
	c.rest = mat.NewDense(k, k, nil)
	for i := range k {
		c.rest.Set(i, i, 1)
	}
	kept := 0.0
	for col := k - 1; col >= 0 && kept < explained*float64(k)*(1-1e-12); col-- {
		kept += values[col]
		for i := range k {
			for j := range k {
				c.rest.Set(i, j, c.rest.At(i, j)-vectors.At(i, col)*vectors.At(j, col))
			}
		}
	}
	return c, true
}

// residual is the mean squared distance of rows to the components.
func (c components) residual(rows *exact.Matrix) (sum float64) {
	n := float64(rows.N())
	sd, shift := make([]float64, len(c.used)), make([]float64, len(c.used))
	for i, column := range c.used {
		if n > 1 {
			sd[i] = min(farthest, deviation(rows.Column(column))*math.Sqrt((n-1)/n)/c.sd[i])
		}
		d, _ := meanChange(c.of.Column(column), rows.Column(column))
		shift[i] = max(-farthest, min(farthest, d/c.sd[i]))
	}
	for i := range c.used {
		for j := range c.used {
			r := rows.Correlation(c.used[i], c.used[j])
			sum += c.rest.At(i, j) * (r*sd[i]*sd[j] + shift[i]*shift[j])
		}
	}
	return held(max(0, sum))
}
