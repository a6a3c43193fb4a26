package detect

import (
	"math"

	"github.com/driftmesh/driftmesh/internal/stat"
)

// The shares of rows in a state. Each is a test of two proportions; a reference
// that has none is a number like any other. NaN and infinities are of numbers,
// categories out of the reference are unseen.
var (
	missingShare   = stateShare("missing", "share of rows without a value", func(s *States) uint64 { return s.Missing })
	nanShare       = stateShare("nan", "share of NaN", func(s *States) uint64 { return s.NaN })
	infiniteShare  = stateShare("infinite", "share of infinite values", func(s *States) uint64 { return s.NegInf + s.PosInf })
	wrongTypeShare = stateShare("wrong_type", "share of values of another type", func(s *States) uint64 { return s.WrongType })
	outOfRange     = stateShare("out_of_range", "share of values beyond the reference's range", func(s *States) uint64 { return s.Below + s.Above })
)

// duplicates is the share of rows that repeat another.
var duplicates = share("duplicates", "share of rows that repeat another", 0, func(s *Side) (uint64, uint64) {
	return s.Duplicates, s.rows()
})

func stateShare(name, help string, of func(*States) uint64) *Detector {
	return share(name, help, 0, func(s *Side) (uint64, uint64) { return of(&s.States), s.rows() })
}

// share makes the detector of a share: hits of n rows on each side.
func share(name, help string, needs Need, of func(*Side) (hits, n uint64)) *Detector {
	return &Detector{
		Name: name, Help: help, Needs: needs, HasP: true, Params: []Param{alphaParam(), minimumParam(1)},
		judge: func(in *Input, p params) Result {
			a, n := of(&in.Reference)
			b, m := of(&in.Current)
			return compareShares(stat.Table{HitsA: a, N: n, HitsB: b, M: m}, p)
		},
	}
}

// rows is the number of all rows, those in no cell as well.
func (s *Side) rows() uint64 {
	return s.Total() + s.States.Missing + s.States.NaN + s.States.WrongType + s.States.NegInf + s.States.PosInf
}

// unseenCategory is whether the sample has more unseen categories than chance
// brings.
//
// Good (1953): of N rows those whose category was seen once tell how likely the
// next is new. With U of M rows unseen, p = P(X ≥ U) of the beta-binomial
// distribution of M, f1+1 and N−f1, which knows that f1 is an estimate too; the
// binomial one with f1/N alarms on up to 37 % at 5 %, this on 4 to 7, and up to
// 12 with few rare categories and M ≥ N.
var unseenCategory = &Detector{
	Name: "unseen_category", Help: "more unseen categories than the reference's rare ones promise",
	HasP: true, Params: []Param{alphaParam(), minimumParam(1)},
	judge: func(in *Input, _ params) Result {
		r := Result{Reference: in.Reference.Total(), Current: in.Current.Total()}
		if in.Kind != Categories {
			r.Caveats |= Unsuited
			return r
		}
		once := uint64(0)
		for _, c := range in.Reference.Counts {
			if c == 1 {
				once++
			}
		}
		u := in.Current.Unseen
		if r.Current == 0 || r.Reference == 0 {
			return r
		}
		r.Statistic = float64(u) / float64(r.Current)
		r.Unseen, r.Judged, r.Method = r.Statistic, r.Statistic, Exact
		r.P = 1
		if once < r.Reference { // where all were new, so is the next
			r.P = stat.BetaBinomial(u, r.Current, float64(once)+1, float64(r.Reference-once))
		}
		return r
	},
}

// constant is whether a feature that varied has stopped to: with a greatest
// share q in the reference, M rows in one cell have at most the chance q^M. The
// statistic is the share of the sample's greatest cell.
var constant = &Detector{
	Name: "constant", Help: "a feature that varied has a single value",
	HasP: true, Params: []Param{alphaParam(), minimumParam(2)},
	judge: func(in *Input, _ params) Result {
		r := Result{Reference: in.Reference.Total(), Current: in.Current.Total()}
		if r.Reference == 0 || r.Current == 0 {
			return r
		}
		greatest := func(s *Side) uint64 {
			top := s.Unseen
			for _, c := range s.Counts {
				top = max(top, c)
			}
			return top
		}
		was, is := greatest(&in.Reference), greatest(&in.Current)
		r.Statistic = float64(is) / float64(r.Current)
		r.Judged, r.P, r.Method = r.Statistic, 1, Exact
		if is < r.Current || in.Current.Moments != nil && in.Current.Moments.N() > 1 && !single(in.Current.Moments.StdDev) {
			return r
		}
		if was == r.Reference {
			r.Caveats |= Constant
			return r
		}
		r.P = math.Exp(float64(r.Current) * math.Log(float64(was)/float64(r.Reference)))
		return r
	},
}

// single says whether a standard deviation is none: a cell that is an interval
// may well have several values.
func single(sd func() (float64, error)) bool {
	s, err := sd()
	return err == nil && s == 0
}

// volume is the change of the number of rows in a time.
//
// With x rows in T and y in t, y is Binomial(x+y, t/(T+t)): twice the smaller
// tail. That is true of Poisson arrivals only, and traffic has hours and bursts:
// compare with the same hour of the week. The statistic is the ratio of rates.
var volume = &Detector{
	Name: "volume", Help: "change of the rate of rows, as if they came at random",
	Needs: needTime, HasP: true, Params: []Param{alphaParam()},
	judge: func(in *Input, _ params) Result {
		x, y := in.Reference.rows(), in.Current.rows()
		r := Result{Reference: x, Current: y}
		if x == 0 {
			r.Caveats |= Unsuited
			return r
		}
		r.Sufficient, r.Method = true, Exact
		// Held below 1, of which a long time may come too close.
		longer := in.Reference.Seconds / in.Current.Seconds
		chance := 1 / (1 + longer)
		r.Statistic = held(float64(y) / float64(x) * longer)
		r.Judged = r.Statistic
		r.P = min(1, 2*min(stat.Binomial(y, x+y, chance), stat.BinomialLower(y, x+y, chance)))
		return r
	},
}

// freshness is whether the time since the last row is longer than the rate of
// rows lets expect: e^(−ρg). With bursts it is only a rule of thumb. The
// statistic is the silence in seconds.
var freshness = &Detector{
	Name: "freshness", Help: "silence longer than the rate of rows promises",
	Needs: needTime, HasP: true, Params: []Param{alphaParam()},
	judge: func(in *Input, p params) Result {
		r := Result{Reference: in.Reference.rows(), Current: in.Current.rows()}
		if r.Reference == 0 {
			return r
		}
		gap := in.Reference.Seconds / float64(r.Reference)
		r.Statistic, r.Judged = in.Current.Silence, in.Current.Silence
		r.P, r.Method, r.Sufficient = math.Exp(-in.Current.Silence/gap), Asymptotic, true
		r.Threshold, r.HasThreshold = held(-math.Log(p[Alpha])*gap), true
		return r
	},
}

// noData is the verdict on a window that was expected and has no row at all.
var noData = &Detector{
	Name: "no_data", Help: "an expected window without rows",
	judge: func(in *Input, _ params) Result {
		r := Result{Reference: in.Reference.rows(), Current: in.Current.rows()}
		r.Sufficient, r.HasThreshold = r.Reference > 0, true
		r.Statistic = float64(r.Current)
		if r.Current == 0 {
			r.Judged = 1
		}
		return r
	},
}
