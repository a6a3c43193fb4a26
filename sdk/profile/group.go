package profile

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Detectors of several numeric features together. A monitor of one judges its
// features, or all numeric ones but the target of the outcome, as one.
const (
	HotellingDetector = "hotelling"
	PCADetector       = "pca_reconstruction"
)

// Limits of what is judged together.
const (
	// MaxTogether is the largest number of features of a [Group].
	MaxTogether = 32
	// MaxGroups is the largest number of groups of a profile.
	MaxGroups = 4
	// mostKept is how many values of the reference a group is made of: of more
	// rows as many are drawn. They take 128 MiB.
	mostKept = 16 << 20
	// mostColumns is how many features groups have together.
	mostColumns = MaxGroups * MaxTogether
	// explained is the share of the variance that components are kept for.
	explained = 0.65
)

// Together reports whether the monitor judges its features as one.
func (m *Monitor) Together() bool {
	return m.Detector == HotellingDetector || m.Detector == PCADetector
}

// Group is several numeric features that monitors judge together, and what the
// reference holds of them: its complete rows, standardised by the mean and the
// standard deviation of each feature.
type Group struct {
	// Features are at least two, in the order of the profile.
	Features []string `json:"features"`
	// Rows of the reference are complete; Incomplete ones lack a finite value.
	Rows       uint64 `json:"rows"`
	Incomplete uint64 `json:"incomplete,omitempty"`
	// Means and Covariances (population) are as [Products.Moments] gives them.
	Means       []float64 `json:"means"`
	Covariances []float64 `json:"covariances"`
	// Components are the main ones of about half of the rows, chosen by their
	// number, up to 65 % of the variance: unit vectors, the main one first. Residual
	// is what they leave of the other half, so that it is what they leave of any
	// rows where nothing moved.
	Components [][]float64 `json:"components"`
	Residual   Residual    `json:"residual"`
	// Kurtosis is Mardia's (1970) of the rows, less that of normal ones: the mean of
	// the fourth power of their distance to the means, less p(p+2) for p directions in
	// which they vary. 0 in profiles from before it was kept.
	Kurtosis float64 `json:"kurtosis,omitempty"`
}

// Residual is the squared distance of rows to components: how many rows there are,
// its mean, standard deviation (population) and skewness.
type Residual struct {
	Number   uint64  `json:"number"`
	Mean     float64 `json:"mean"`
	StdDev   float64 `json:"std_dev"`
	Skewness float64 `json:"skewness"`
}

// Name says in words what the group is of.
func (g *Group) Name() string {
	if n := len(g.Features); n > 3 {
		return fmt.Sprintf("%s and %d more", strings.Join(g.Features[:2], ", "), n-2)
	}
	return strings.Join(g.Features, ", ")
}

// Members are the features that a monitor judges together, in the order of the
// profile.
func (p *Profile) Members(m *Monitor) (names []string) {
	for i := range p.Features {
		f := &p.Features[i]
		target := p.Outcome != nil && p.Outcome.Target == f.Name
		if slices.Contains(m.Features, f.Name) || len(m.Features) == 0 && f.Kind == Numeric && !target {
			names = append(names, f.Name)
		}
	}
	return names
}

// Group is the position of the group that a monitor judges, −1 when the profile has
// none of its features.
func (p *Profile) Group(m *Monitor) int {
	members := p.Members(m)
	return slices.IndexFunc(p.Groups, func(g Group) bool { return slices.Equal(g.Features, members) })
}

func (p *Profile) checkGroups() (problems []error) {
	if len(p.Groups) > MaxGroups {
		return []error{&Error{Rule: "GROUP_COUNT", Detail: fmt.Sprintf("%d groups of features; at most %d are allowed", len(p.Groups), MaxGroups)}}
	}
	for i := range p.Groups {
		if err := p.Groups[i].check(p); err != nil {
			problems = append(problems, err)
		}
	}
	return problems
}

func (g *Group) check(p *Profile) error {
	fail := func(format string, args ...any) error {
		return &Error{Rule: "GROUP", Detail: "features together: " + fmt.Sprintf(format, args...)}
	}
	n, last := len(g.Features), -1
	if n < 2 || n > MaxTogether {
		return fail("%d; 2 to %d are allowed", n, MaxTogether)
	}
	for _, name := range g.Features {
		i := p.Feature(name)
		if i < 0 || p.Features[i].Kind != Numeric || i <= last {
			return fail("%.100q is no number of the profile, or out of its order", name)
		}
		last = i
	}
	if len(g.Means) != n || len(g.Covariances) != n*(n+1)/2 || len(g.Components) > n || !allFinite(g.Means) || !allFinite(g.Covariances) {
		return fail("%s: %d means, %d covariances and %d components of %d features, all finite", g.Name(), len(g.Means), len(g.Covariances), len(g.Components), n)
	}
	if r := &g.Residual; !(r.Mean >= 0) || !(r.StdDev >= 0) || !finite(r.Mean) || !finite(r.StdDev) || !finite(r.Skewness) || !finite(g.Kurtosis) {
		return fail("%s: the residual has a mean %v, a standard deviation %v and a skewness %v, and rows a kurtosis %v", g.Name(), r.Mean, r.StdDev, r.Skewness, g.Kurtosis)
	}
	for i, v := range g.Components {
		for k, w := range g.Components[:i+1] {
			want := map[bool]float64{true: 1}[i == k]
			if len(v) != n || !(math.Abs(dot(v, w)-want) < 1e-6) {
				return fail("%s: the components are no unit vectors at right angles", g.Name())
			}
		}
	}
	return nil
}

func dot(v, w []float64) (sum float64) {
	for i := range min(len(v), len(w)) {
		sum += float64(v[i] * w[i]) // not fused: the same digits everywhere
	}
	return sum
}

// Rows keeps columns that monitors judge together, which come one at a time and have
// to be seen by row. Of very many rows some are kept, the same of every column, so that
// they take 128 MiB at most. It is for one goroutine.
type Rows struct {
	monitors []Monitor
	columns  map[string][]float64 // NaN where there is no finite value
	numbers  []int                // of the rows that are kept
}

// NewRows keeps what these monitors judge together.
func NewRows(monitors []Monitor) *Rows {
	return &Rows{
		monitors: slices.DeleteFunc(slices.Clone(monitors), func(m Monitor) bool { return !m.Together() }),
		columns:  map[string][]float64{},
	}
}

// wants reports whether some monitor judges a numeric feature together with others,
// and how many there may be in all.
func (k *Rows) wants(name string) (yes bool, columns int) {
	named := map[string]bool{}
	for i := range k.monitors {
		m := &k.monitors[i]
		if len(m.Features) == 0 {
			yes, columns = true, columns+MaxTogether
		}
		for _, feature := range m.Features {
			yes, named[feature] = yes || feature == name, true
		}
	}
	return yes, min(columns+len(named), mostColumns)
}

// Keep takes the values of a numeric column, if they are judged together with others.
// Columns have as many rows as each other.
func (k *Rows) Keep(c *Column) {
	wanted, columns := k.wants(c.Name)
	if !wanted || len(k.columns) >= mostColumns {
		return
	}
	if k.numbers == nil {
		k.numbers = drawn(c.Len(), mostKept/columns)
	}
	kept := make([]float64, len(k.numbers))
	for i, row := range k.numbers {
		if kept[i] = c.Numbers[row]; c.missing(row) || !finite(kept[i]) {
			kept[i] = math.NaN()
		}
	}
	k.columns[c.Name] = kept
}

// Each gives the rows that are kept, with the values of the features; NaN is none.
// Features that were not seen have none. The values are valid until the next row.
func (k *Rows) Each(features []string, take func(row int, values []float64)) {
	columns, values := make([][]float64, len(features)), make([]float64, len(features))
	for i, name := range features {
		columns[i] = k.columns[name]
	}
	for at, row := range k.numbers {
		for i := range columns {
			if values[i] = math.NaN(); columns[i] != nil {
				values[i] = columns[i][at]
			}
		}
		take(row, values)
	}
}

// drawn are the numbers of about so many of the rows, of all where they are no more.
func drawn(rows, most int) []int {
	numbers := make([]int, 0, min(rows, most+most/8))
	share := float64(most) / float64(max(rows, 1))
	for row := range rows {
		if share >= 1 || float64(scatter(row)>>11) < share*(1<<53) {
			numbers = append(numbers, row)
		}
	}
	return numbers
}

// scatter is a number of a row that looks as if it were drawn (Steele, Lea and
// Flood 2014): every second row, or every thousandth, may be of one kind.
func scatter(row int) uint64 {
	z := (uint64(row) + 1) * 0x9e3779b97f4a7c15 //nolint:gosec // not negative
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// groups fills in the groups of a profile whose features are made.
func (k *Rows) groups(p *Profile) error {
	for i := range p.Monitors {
		m := &p.Monitors[i]
		if !m.Together() || p.Group(m) >= 0 {
			continue
		}
		members := p.Members(m)
		for _, name := range members {
			if f := &p.Features[p.Feature(name)]; f.Kind != Numeric {
				return m.broken("MONITOR_FEATURES", "feature %q is a category, and %s judges numbers", name, m.Detector)
			}
		}
		if len(members) < 2 || len(members) > MaxTogether {
			return m.broken("MONITOR_FEATURES", "%s judges 2 to %d numbers together, and these are %d: name those that belong together", m.Detector, MaxTogether, len(members))
		}
		if len(p.Groups) == MaxGroups {
			return m.broken("MONITOR_FEATURES", "the monitors judge more than %d different sets of features together", MaxGroups)
		}
		p.Groups = append(p.Groups, k.group(p, members))
	}
	return nil
}

func (k *Rows) group(p *Profile, members []string) Group {
	g := Group{Features: members}
	first := func(row int) bool { return scatter(row)&1 == 0 }
	half, all := NewProducts(p, &g), NewProducts(p, &g)
	k.Each(members, func(row int, values []float64) {
		all.Add(values)
		if first(row) {
			half.Add(values)
		}
	})
	g.Rows, g.Incomplete = all.Rows, all.Incomplete
	g.Means, g.Covariances = all.Moments()
	_, covariances := half.Moments()
	g.Components = mainComponents(len(members), covariances)
	var left residuals
	k.Each(members, func(row int, values []float64) {
		if !first(row) {
			left.add(&g, all.scales, values)
		}
	})
	g.Residual = left.residual()
	g.Kurtosis = k.kurtosis(&g, all.scales)
	return g
}

// collinear is the least variance of a direction in which rows vary.
const collinear = 1e-10

// kurtosis is that of the rows of a group whose moments are known.
func (k *Rows) kurtosis(g *Group, scales []Scale) float64 {
	variances, vectors := eigen(len(g.Features), g.Covariances)
	z, rank, n, mean := make([]float64, len(scales)), 0.0, 0.0, 0.0
	for _, v := range variances {
		if v > collinear {
			rank++
		}
	}
	k.Each(g.Features, func(_ int, row []float64) {
		for i, x := range row {
			units, ok := scales[i].Value(x)
			if !ok {
				return
			}
			z[i] = math.Ldexp(float64(units), -fraction) - g.Means[i]
		}
		square := 0.0
		for i, v := range vectors {
			if variances[i] > collinear {
				along := dot(v, z)
				square += float64(along * along / variances[i])
			}
		}
		n++
		mean += (float64(square*square) - mean) / n
	})
	if n == 0 || !finite(mean) {
		return 0
	}
	return mean - rank*(rank+2)
}

// residuals sums up squared distances to components: central moments in one pass
// (Pébay 2008).
type residuals struct {
	n                    uint64
	mean, squares, cubes float64
	z                    []float64
}

func (s *residuals) add(g *Group, scales []Scale, row []float64) {
	s.z = s.z[:0]
	for i, x := range row {
		units, ok := scales[i].Value(x)
		if !ok {
			return
		}
		s.z = append(s.z, math.Ldexp(float64(units), -fraction))
	}
	for _, v := range g.Components {
		along := dot(v, s.z)
		for i := range s.z {
			s.z[i] -= float64(along * v[i])
		}
	}
	s.n++
	n := float64(s.n)
	d := dot(s.z, s.z) - s.mean
	part := d / n
	term := float64(float64(d*part) * (n - 1))
	s.mean += part
	s.cubes += float64(float64(term*part)*(n-2)) - float64(float64(3*part)*s.squares)
	s.squares += term
}

func (s *residuals) residual() Residual {
	r := Residual{Number: s.n, Mean: s.mean}
	if s.n > 0 && s.squares > 0 {
		r.StdDev = math.Sqrt(s.squares / float64(s.n))
		r.Skewness = s.cubes / float64(s.n) / float64(float64(r.StdDev*r.StdDev)*r.StdDev)
	}
	return r
}
