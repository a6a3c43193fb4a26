package demo

import (
	"math/rand/v2"
	"slices"

	"github.com/driftmesh/driftmesh/examples/wine"
	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// The name of the profile.
const (
	Space = "wine"
	Name  = "red"
)

const (
	// monitor is what judges.
	monitor = "shape"
	// threshold of the index. By convention 0.1 is worth a look and 0.25 a
	// change; samples of one minute from the reference itself stay far below it.
	threshold = 0.25
	// minSample keeps minutes that are hardly filled from being judged.
	minSample = 200
	// strong is the alcohol by volume above which the drifting half is drawn.
	strong = 11.0
)

// label is what tasters gave; the model does not see it.
const label = "quality"

// Data is the wine data set, cut in two: the rows that the model learned from
// and rows that it did not.
type Data struct {
	features  []profile.Column // without the label
	reference []int
	strong    []int
	byName    map[string]int
}

// NewData cuts the data set: even rows are the reference, and of the odd ones
// the strong wines are what drifts.
func NewData() (*Data, error) {
	columns, err := wine.Columns()
	if err != nil {
		return nil, err
	}
	d := &Data{byName: map[string]int{}}
	for _, c := range columns {
		if c.Name != label {
			d.byName[c.Name] = len(d.features)
			d.features = append(d.features, c)
		}
	}
	alcohol := d.features[d.byName["alcohol"]]
	for row, v := range alcohol.Numbers {
		switch {
		case row%2 == 0:
			d.reference = append(d.reference, row)
		case v > strong:
			d.strong = append(d.strong, row)
		}
	}
	return d, nil
}

// Profile makes the profile of the reference rows. It is evaluated as each
// minute closes, so that an alert comes within a minute or so.
func (d *Data) Profile() (*profile.Profile, error) {
	columns := make([]profile.Column, len(d.features))
	for i, c := range d.features {
		columns[i] = profile.Column{Name: c.Name, Type: c.Type}
		for _, row := range d.reference {
			columns[i].Numbers = append(columns[i].Numbers, c.Numbers[row])
		}
	}
	return profile.New(columns, profile.Options{
		Space: Space, Name: Name, Schedule: profile.Schedule{OnClose: true},
		Monitors: []profile.Monitor{{Name: monitor, Detector: profile.PSIDetector, MinSample: minSample, Threshold: profile.Above(threshold)}},
	})
}

// record is what the model was given for one row.
func (d *Data) record(of string, row int) sdk.Record {
	values := make([]sdk.Value, len(d.features))
	for i, c := range d.features {
		if c.Type == profile.Int {
			values[i] = sdk.Int(c.Name, int64(c.Numbers[row]))
			continue
		}
		values[i] = sdk.Float(c.Name, c.Numbers[row])
	}
	return sdk.Features(of, values...)
}

// value is one measurement of one row.
func (d *Data) value(feature string, row int) float64 {
	return d.features[d.byName[feature]].Numbers[row]
}

// rating is a model, if a small one: the three measurements that tell most
// about the tasters' verdict, roughly as a linear regression weighs them.
func (d *Data) rating(row int) float64 {
	return 5.6 + 0.3*(d.value("alcohol", row)-10.4) - 1.2*(d.value("volatile_acidity", row)-0.53) + 0.7*(d.value("sulphates", row)-0.66)
}

// deck deals rows in random order, each once before any comes again: a sample
// from it is closer to the whole than independent draws would be.
type deck struct {
	rows   []int
	next   int
	random *rand.Rand
}

func newDeck(rows []int, random *rand.Rand) *deck {
	return &deck{rows: slices.Clone(rows), next: len(rows), random: random}
}

func (d *deck) deal() int {
	if d.next == len(d.rows) {
		d.random.Shuffle(len(d.rows), func(i, j int) { d.rows[i], d.rows[j] = d.rows[j], d.rows[i] })
		d.next = 0
	}
	d.next++
	return d.rows[d.next-1]
}
