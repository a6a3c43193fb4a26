package profile_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

func wine(t *testing.T) []profile.Column {
	t.Helper()
	file, err := os.Open("../../examples/wine/winequality-red.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	columns, err := profile.ReadCSV(file, profile.CSVOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return columns
}

func TestWineProfile(t *testing.T) {
	t.Parallel()
	p, err := profile.New(wine(t), profile.Options{Space: "examples", Name: "wine", Categories: []string{"quality"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Features) != 12 {
		t.Fatalf("%d features, want 12", len(p.Features))
	}
	means := map[string]float64{"fixed_acidity": 8.319637, "density": 0.996747, "pH": 3.311113, "alcohol": 10.422983}
	for i := range p.Features {
		f := &p.Features[i]
		total := uint64(0)
		for _, b := range f.Bins {
			total += b.Count
			if b.Proportion != float64(b.Count)/1599 {
				t.Errorf("%s bin %d: proportion %v of count %d", f.Name, b.ID, b.Proportion, b.Count)
			}
		}
		if total != 1599 || f.Baseline.Rows != 1599 {
			t.Errorf("%s: %d values in bins, %d rows; want 1599", f.Name, total, f.Baseline.Rows)
		}
		if want, ok := means[f.Name]; ok && math.Abs(f.Baseline.Mean-want) > 5e-7 {
			t.Errorf("%s: mean %.7f, want %.6f", f.Name, f.Baseline.Mean, want)
		}
	}
	quality := p.Features[p.Feature("quality")]
	if got := quality.Categories(); !reflect.DeepEqual(got, []string{"3", "4", "5", "6", "7", "8"}) {
		t.Errorf("categories of quality: %v", got)
	}
	if quality.Bins[2].Count != 681 {
		t.Errorf("%d wines of quality 5, want 681", quality.Bins[2].Count)
	}
}

func TestRowOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	columns := wine(t)
	opts := profile.Options{Space: "examples", Name: "wine"}
	want, err := profile.New(columns, opts)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range columns {
		random.Shuffle(columns[i].Len(), func(a, b int) {
			columns[i].Numbers[a], columns[i].Numbers[b] = columns[i].Numbers[b], columns[i].Numbers[a]
		})
	}
	got, err := profile.New(columns, opts)
	if err != nil {
		t.Fatal(err)
	}
	for i := range got.Features {
		// Control charts alone go by the order.
		if g, w := &got.Features[i].Baseline, &want.Features[i].Baseline; reflect.DeepEqual(g.Subgroups, w.Subgroups) || g.Scouter == w.Scouter {
			t.Error("sub-groups are not in the order of the rows")
		} else {
			g.Subgroups, g.Scouter = w.Subgroups, w.Scouter
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Error("shuffled rows give another profile")
	}
}

func TestSpecialValues(t *testing.T) {
	t.Parallel()
	columns := []profile.Column{
		{Name: "x", Type: profile.Float, Numbers: []float64{1, 2, math.NaN(), math.Inf(1), math.Inf(-1), 0, 3}, Missing: []bool{5: true, 6: false}},
		{Name: "color", Type: profile.String, Texts: []string{"red", "blue", "", "red", "red", "blue", "red"}, Missing: []bool{2: true, 6: false}},
	}
	p, err := profile.New(columns, profile.Options{Space: "s", Name: "n", Binning: profile.Binning{Rule: profile.Quantile, Bins: 2}})
	if err != nil {
		t.Fatal(err)
	}
	x, color := &p.Features[0], &p.Features[1]
	if x.Baseline.Special != [profile.Specials]uint64{1, 1, 1, 1, 0} || color.Baseline.Special != [profile.Specials]uint64{1, 0, 0, 0, 0} {
		t.Errorf("special counts %v and %v", x.Baseline.Special, color.Baseline.Special)
	}
	if x.Cells() != 8 || x.Bins[0].Count != 2 || x.Bins[1].Count != 1 {
		t.Errorf("x: %d cells, bins %+v", x.Cells(), x.Bins)
	}
	for v, want := range map[float64]int{-5: 0, 2: 0, 2.0000001: 1, 1e300: 1, math.Inf(1): 4, math.Inf(-1): 5} {
		if got := x.NumberCell(v); got != want {
			t.Errorf("cell of %v is %d, want %d", v, got, want)
		}
	}
	if got := x.NumberCell(math.NaN()); got != 3 {
		t.Errorf("cell of NaN is %d, want 3", got)
	}
	for text, want := range map[string]int{"blue": 0, "red": 1, "green": 6, "": 6, "zebra": 6} {
		if got := color.CategoryCell(text); got != want {
			t.Errorf("cell of %q is %d, want %d", text, got, want)
		}
	}
	if x.SpecialCell(profile.Missing) != 2 || x.SpecialCell(profile.Other) != 6 {
		t.Error("special cells are not after the bins")
	}
}

func TestMembership(t *testing.T) {
	t.Parallel()
	f := profile.Feature{Name: "x", Kind: profile.Numeric, Type: profile.Float, Bins: []profile.Bin{
		{ID: 1, Lower: math.Inf(-1), Upper: 0}, {ID: 2, Lower: 0, Upper: 11}, {ID: 3, Lower: 11, Upper: 11}, {ID: 4, Lower: 11, Upper: math.Inf(1)},
	}}
	counts := make([]uint64, f.Cells())
	for _, v := range []float64{12, 11, 10, 1, 10, 21, 19, 12, 12, 23} {
		counts[f.NumberCell(v)]++
	}
	if share := profile.Share(counts[1], 10); share != 0.4 || counts[2] != 0 || counts[3] != 6 {
		t.Errorf("counts %v, want share 0.4 in (0, 11]", counts)
	}
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	good := profile.Column{Name: "x", Type: profile.Float, Numbers: sequence(20)}
	ids := profile.Column{Name: "id", Type: profile.String}
	for range profile.MaxBins + 1 {
		ids.Texts = append(ids.Texts, strings.Repeat("i", len(ids.Texts)+1))
	}
	for _, c := range []struct {
		name    string
		columns []profile.Column
		change  func(*profile.Options)
		rule    string
		column  string
	}{
		{"no columns", nil, nil, "FEATURE_COUNT", ""},
		{"same name", []profile.Column{good, good}, nil, "FEATURE_NAME", "x"},
		{"lengths", []profile.Column{good, {Name: "y", Type: profile.Int, Numbers: sequence(3)}}, nil, "COLUMN_LENGTH", "y"},
		{"all missing", []profile.Column{{Name: "y", Type: profile.Float, Numbers: []float64{0}, Missing: []bool{true}}}, nil, "EMPTY_COLUMN", "y"},
		{"only NaN", []profile.Column{{Name: "y", Type: profile.Float, Numbers: []float64{math.NaN()}}}, nil, "EMPTY_COLUMN", "y"},
		{"ids", []profile.Column{ids}, nil, "CATEGORY_COUNT", "id"},
		{"type", []profile.Column{{Name: "y", Type: "decimal"}}, nil, "COLUMN_TYPE", "y"},
		{"float category", []profile.Column{{Name: "x", Type: profile.Float, Numbers: []float64{1, 2.5}}}, func(o *profile.Options) { o.Categories = []string{"x"} }, "CATEGORIES", "x"},
		{"unknown category", []profile.Column{good}, func(o *profile.Options) { o.Categories = []string{"z"} }, "CATEGORIES", "z"},
		{"unknown feature", []profile.Column{good}, func(o *profile.Options) { o.Features = []string{"z"} }, "FEATURES", "z"},
		{"no spread", []profile.Column{{Name: "y", Type: profile.Int, Numbers: []float64{1, 1, 1}}},
			func(o *profile.Options) { o.Binning.Rule = profile.Scott }, "NO_SPREAD", "y"},
		{"name", []profile.Column{good}, func(o *profile.Options) { o.Name = "a/b" }, "PROFILE_NAME", ""},
		{"monitored", []profile.Column{good}, func(o *profile.Options) {
			o.Monitors = []profile.Monitor{{Name: "m", Detector: "psi", Features: []string{"z"}}}
		}, "MONITOR_FEATURES", "z"},
		{"lookback", []profile.Column{good}, func(o *profile.Options) { o.Schedule.Lookback = time.Second }, "LOOKBACK", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			opts := profile.Options{Space: "s", Name: "n"}
			if c.change != nil {
				c.change(&opts)
			}
			_, err := profile.New(c.columns, opts)
			var broken *profile.Error
			if !errors.As(err, &broken) || broken.Rule != c.rule || broken.Column != c.column {
				t.Errorf("error %v, want rule %s of column %q", err, c.rule, c.column)
			}
		})
	}
}

func TestJSONKeepsEveryDigit(t *testing.T) {
	t.Parallel()
	for _, binning := range []profile.Binning{{}, {Rule: profile.Manual, Bins: 7}, {Rule: profile.Doane}} {
		p, err := profile.New(wine(t), profile.Options{
			Space: "examples", Name: "wine", Version: "1.2.3", Binning: binning, Categories: []string{"quality"},
			Schedule:   profile.Schedule{Cron: "*/5 * * * *", Zone: "Europe/Rome", Lookback: time.Hour, OnClose: true},
			Correction: profile.Holm,
			Monitors: []profile.Monitor{
				{Name: "psi", Detector: "psi"},
				{
					Name: "shape", Detector: "ks", Features: []string{"alcohol", "pH"}, Parameters: map[string]float64{"smoothing": 0.1},
					Threshold: profile.Above(0.2), MinSample: 200, Persistence: profile.Persistence{K: 2, N: 3},
					Severity: profile.Critical, Routes: []string{"pager"},
				},
				{Name: "monthly", Detector: "psi", Threshold: profile.AtMost(1, 30), Severity: profile.Info},
				{Name: "chunks", Detector: "psi", Threshold: profile.Beyond(3, map[string]profile.Chunks{
					"alcohol": profile.ChunksOf([]float64{0.1, 0.2, 0.4}),
				})},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		p.UID = "01970f4e-6c1a-7b32-9d55-0c2f6f1f5d11"
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		back, err := profile.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back, p) {
			t.Errorf("%+v: read back differs", binning)
		}
	}
}

func TestJSONForm(t *testing.T) {
	t.Parallel()
	p, err := profile.New([]profile.Column{
		{Name: "age", Type: profile.Int, Numbers: []float64{30, 31, 30, 31}},
		{Name: "color", Type: profile.String, Texts: []string{"red", "blue", "red", "red"}},
	}, profile.Options{Space: "ml", Name: "churn", Binning: profile.Binning{Rule: profile.Quantile, Bins: 2}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"format":2,"space":"ml","name":"churn","features":[` +
		`{"id":"age","bin_type":"Numeric","value_type":"int","bins":[` +
		`{"id":1,"lower_limit":"-inf","upper_limit":30.5,"count":2,"proportion":0.5},` +
		`{"id":2,"lower_limit":30.5,"upper_limit":"inf","count":2,"proportion":0.5}],` +
		`"baseline":{"rows":4,"special":[0,0,0,0,0,0],"min":30,"max":31,"mean":30.5,"std_dev":0.5,"median":30.5,` +
		`"moments":"AQQFAIYBAegFAYwC6KA=","deviations":"AQQEAIYBCAQBjAIQ","scouter_limits":{"center":30.5,"sigma":0.5833643078804016}}},` +
		`{"id":"color","bin_type":"Category","value_type":"string","bins":[` +
		`{"id":0,"lower_limit":null,"upper_limit":null,"category":"blue","count":1,"proportion":0.25},` +
		`{"id":1,"lower_limit":null,"upper_limit":null,"category":"red","count":3,"proportion":0.75}],` +
		`"baseline":{"rows":4,"special":[0,0,0,0,0,0],"min":0,"max":0,"mean":0,"std_dev":0}}],` +
		`"binning_strategy":{"QuantileBinning":{"num_bins":2}},` +
		`"schedule":{"cron":"0 0 0 * * *","zone":"UTC"},"correction":"benjamini_hochberg",` +
		`"monitors":[{"name":"psi","detector":"psi","threshold":{"significance":0.05},"severity":"warning"}]}`
	if string(text) != want {
		t.Errorf("JSON form\n%s\nwant\n%s", text, want)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	p, err := profile.New([]profile.Column{{Name: "x", Type: profile.Float, Numbers: sequence(20)}},
		profile.Options{Space: "s", Name: "n", Binning: profile.Binning{Rule: profile.Quantile, Bins: 2}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, old, new, rule string }{
		{"format", `"format":2`, `"format":3`, "PROFILE_FORMAT"},
		{"kind", `"bin_type":"Numeric"`, `"bin_type":"Category"`, "FEATURE_KIND"},
		{"value type", `"value_type":"float"`, `"value_type":"complex"`, "FEATURE_TYPE"},
		{"limits", `"upper_limit":10.5`, `"upper_limit":10.6`, "BIN_LIMITS"},
		{"no limits", `"upper_limit":10.5`, `"upper_limit":null`, "BIN_LIMITS"},
		{"share", `"proportion":0.5`, `"proportion":0.4`, "BIN_PROPORTION"},
		{"negative share", `"proportion":0.5`, `"proportion":-0.5`, "BIN_PROPORTION"},
		{"id", `"id":2`, `"id":3`, "BIN_ID"},
		{"two thresholds", `{"significance":0.05}`, `{"significance":0.05,"fixed":1}`, "THRESHOLD_LIMIT"},
		{"no threshold", `{"significance":0.05}`, `{}`, "THRESHOLD_LIMIT"},
		{"no monitors", `"monitors":[{"name":"psi"`, `"monitors":[{"name":""`, "MONITOR_NAME"},
		{"zone", `"zone":"UTC"`, `"zone":"Local"`, "ZONE"},
		{"correction", `"benjamini_hochberg"`, `"hope"`, "CORRECTION"},
		{"misspelt in a monitor", `"severity"`, `"severeness"`, ""},
		{"strategy", `{"QuantileBinning":{"num_bins":2}}`, `{"EqualWidthBinning":{"method":{"Knuth":null}}}`, "BINNING_RULE"},
		{"two documents", "", "", "PROFILE_JSON"},
		{"misspelt", `"cron"`, `"crown"`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := strings.Replace(string(text), c.old, c.new, 1)
			if c.name == "two documents" {
				changed += "{}"
			} else if changed == string(text) {
				t.Fatalf("%s is not in the profile", c.old)
			}
			_, err := profile.Parse([]byte(changed))
			if err == nil {
				t.Fatal("accepted")
			}
			var broken *profile.Error
			if c.rule != "" && (!errors.As(err, &broken) || broken.Rule != c.rule) {
				t.Errorf("error %v, want rule %s", err, c.rule)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	p, err := profile.New([]profile.Column{
		{Name: "x", Type: profile.Float, Numbers: []float64{1, 2, 3}},
		{Name: "c", Type: profile.Bool, Texts: []string{"true", "false", "true"}},
	}, profile.Options{Space: "s", Name: "n"})
	if err != nil {
		f.Fatal(err)
	}
	text, _ := json.Marshal(p)
	f.Add(text)
	f.Add([]byte(`{"format":1,"features":[{"id":"x","bins":[{}]}]}`))
	f.Add([]byte(`{"format":2,"monitors":[{"threshold":{"deviations":{"chunks":{"x":{"values":[1,2]}}}}}]}`))
	f.Add([]byte(`{"format":1,"binning_strategy":{"EqualWidthBinning":{"method":{"Doane":null}}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := profile.Parse(data)
		if err != nil {
			return
		}
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatalf("a valid profile does not marshal: %v", err)
		}
		back, err := profile.Parse(text)
		if err != nil || !reflect.DeepEqual(back, p) {
			t.Fatalf("round trip of %s: %v", text, err)
		}
		for i := range p.Features {
			f := &p.Features[i]
			for _, v := range []float64{0, -1, 1e9, math.NaN(), math.Inf(1)} {
				if cell := f.NumberCell(v); f.Kind == profile.Numeric && (cell < 0 || cell >= f.Cells()) {
					t.Fatalf("cell %d of %d", cell, f.Cells())
				}
			}
		}
	})
}
