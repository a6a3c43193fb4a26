package main

import "github.com/driftmesh/driftmesh/sdk/profile"

// outcomeFlags name the columns by which performance is judged.
type outcomeFlags struct {
	Target     string `help:"Column with what came true, to judge performance by. It may be sent later, as labels of a record." placeholder:"COLUMN"`
	Prediction string `help:"Column with what was predicted of the target." placeholder:"COLUMN"`
	Score      string `help:"Column with a number that grows with the chance of the positive category, such as a probability." placeholder:"COLUMN"`
	Positive   string `help:"Category of the target that precision, recall and score are about." placeholder:"CATEGORY"`
}

// outcome is nil when the flags name nothing; New says what they lack.
func (f outcomeFlags) outcome() *profile.Outcome {
	if f == (outcomeFlags{}) {
		return nil
	}
	return &profile.Outcome{Target: f.Target, Prediction: f.Prediction, Score: f.Score, Positive: f.Positive}
}
