package profile_test

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

func classes() []profile.Column {
	return []profile.Column{
		{Name: "paid", Type: profile.Bool, Texts: []string{"true", "true", "false", "false", "true", "", "false"}, Missing: []bool{5: true, 6: false}},
		{Name: "said", Type: profile.Bool, Texts: []string{"true", "false", "false", "true", "true", "true", ""}, Missing: []bool{6: true}},
		{Name: "chance", Type: profile.Float, Numbers: []float64{0.9, 0.4, 0.2, 0.8, math.NaN(), 0.7, 0.1}},
	}
}

func TestOutcomeOfCategories(t *testing.T) {
	t.Parallel()
	p, err := profile.New(classes(), profile.Options{
		Space: "ml", Name: "loan", Binning: profile.Binning{Rule: profile.Quantile, Bins: 2},
		Outcome: &profile.Outcome{Target: "paid", Prediction: "said", Score: "chance", Positive: "true"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &profile.Comparison{
		Right: 3, Wrong: 2, TruePositive: 2, FalsePositive: 1, FalseNegative: 1, TrueNegative: 1,
		Positives: []uint64{1, 1}, Negatives: []uint64{2, 1}, // below and above the median of the score, 0.55
	}
	if !reflect.DeepEqual(p.Outcome.Reference, want) {
		t.Errorf("reference %+v, want %+v", p.Outcome.Reference, want)
	}
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	back, err := profile.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, p) {
		t.Errorf("it comes back as %+v", back.Outcome)
	}
}

func TestOutcomeOfNumbers(t *testing.T) {
	t.Parallel()
	p, err := profile.New([]profile.Column{
		{Name: "price", Type: profile.Float, Numbers: []float64{1, 2, 3, 4, math.Inf(1)}},
		{Name: "guess", Type: profile.Float, Numbers: []float64{1.5, 2, 1, 4.5, 7}},
	}, profile.Options{Space: "ml", Name: "house", Outcome: &profile.Outcome{Target: "price", Prediction: "guess"}})
	if err != nil {
		t.Fatal(err)
	}
	// numpy: e = [.5, 0, -2, .5]; abs(e).mean(), abs(e).std(), (e**2).mean(), (e**2).std();
	// numpy.quantile(abs(e), arange(1, 10) / 10), of which three are the same
	want := profile.Comparison{
		Absolute: profile.Spread{Number: 4, Mean: 0.75, StdDev: 0.75},
		Squared:  profile.Spread{Number: 4, Mean: 1.125, StdDev: 1.6630168369562588},
		// Of 0, 0.5 twice and 2.
		ErrorEdges: []float64{0.15, 0.3, 0.45, 0.5, 0.65, 1.1, 1.55}, ErrorCounts: []uint64{1, 0, 0, 2, 0, 0, 0, 1},
	}
	if got := *p.Outcome.Reference; !reflect.DeepEqual(got, want) {
		t.Errorf("reference %+v, want %+v", got, want)
	}
}

func TestOutcomesThatCannotBe(t *testing.T) {
	t.Parallel()
	for wrong, o := range map[string]profile.Outcome{
		"the target of the outcome is no feature":     {Target: "paidd", Prediction: "said"},
		"the prediction of the outcome is no feature": {Target: "paid", Prediction: "sad"},
		"neither a prediction nor a score":            {Target: "paid"},
		"its prediction or score as well":             {Target: "paid", Prediction: "paid"},
		"the prediction is Numeric":                   {Target: "paid", Prediction: "chance"},
		"the score is no number":                      {Target: "paid", Score: "said", Positive: "true"},
		"does not say which category is positive":     {Target: "paid", Score: "chance"},
		"the target is a number":                      {Target: "chance", Prediction: "other", Positive: "1"},
	} {
		columns := append(classes(), profile.Column{Name: "other", Type: profile.Float, Numbers: make([]float64, 7)})
		_, err := profile.New(columns, profile.Options{Space: "ml", Name: "loan", Outcome: &o})
		var rule *profile.Error
		if err == nil || !strings.Contains(err.Error(), wrong) || !errors.As(err, &rule) || rule.Rule != "OUTCOME" {
			t.Errorf("%s: error %v", wrong, err)
		}
	}
}
