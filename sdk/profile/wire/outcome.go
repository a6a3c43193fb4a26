package wire

import (
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

func outcomeMessage(o *profile.Outcome) *driftv1.Outcome {
	if o == nil {
		return nil
	}
	m := &driftv1.Outcome{Target: o.Target, Prediction: o.Prediction, Score: o.Score, Positive: o.Positive}
	if c := o.Reference; c != nil {
		m.Reference = &driftv1.Comparison{
			Right: c.Right, Wrong: c.Wrong, TruePositive: c.TruePositive, FalsePositive: c.FalsePositive,
			FalseNegative: c.FalseNegative, TrueNegative: c.TrueNegative, Positives: c.Positives, Negatives: c.Negatives,
			Absolute: spreadMessage(c.Absolute), Squared: spreadMessage(c.Squared),
			ErrorEdges: c.ErrorEdges, ErrorCounts: c.ErrorCounts,
		}
	}
	return m
}

func spreadMessage(s profile.Spread) *driftv1.Spread {
	if s == (profile.Spread{}) {
		return nil
	}
	return &driftv1.Spread{Number: s.Number, Mean: s.Mean, StdDev: s.StdDev}
}

func outcomeOf(m *driftv1.Outcome) *profile.Outcome {
	if m == nil {
		return nil
	}
	o := &profile.Outcome{Target: m.GetTarget(), Prediction: m.GetPrediction(), Score: m.GetScore(), Positive: m.GetPositive()}
	if c := m.GetReference(); c != nil {
		o.Reference = &profile.Comparison{
			Right: c.GetRight(), Wrong: c.GetWrong(), TruePositive: c.GetTruePositive(), FalsePositive: c.GetFalsePositive(),
			FalseNegative: c.GetFalseNegative(), TrueNegative: c.GetTrueNegative(), Positives: c.GetPositives(), Negatives: c.GetNegatives(),
			Absolute: spreadOf(c.GetAbsolute()), Squared: spreadOf(c.GetSquared()),
			ErrorEdges: c.GetErrorEdges(), ErrorCounts: c.GetErrorCounts(),
		}
	}
	return o
}

func spreadOf(m *driftv1.Spread) profile.Spread {
	return profile.Spread{Number: m.GetNumber(), Mean: m.GetMean(), StdDev: m.GetStdDev()}
}
