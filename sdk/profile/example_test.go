package profile_test

import (
	"fmt"
	"strings"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Make a profile from a CSV file and compare later values with it.
func Example() {
	reference := "age,color\n"
	for i := range 100 {
		reference += fmt.Sprintf("%d,%s\n", 20+i%50, []string{"red", "blue"}[i%2])
	}
	columns, err := profile.ReadCSV(strings.NewReader(reference), profile.CSVOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := profile.New(columns, profile.Options{Space: "shop", Name: "churn", Binning: profile.Binning{Bins: 5, Rule: profile.Quantile}})
	if err != nil {
		fmt.Println(err)
		return
	}
	age := &p.Features[p.Feature("age")]
	counts := make([]uint64, age.Cells())
	for i := range 200 {
		counts[age.NumberCell(float64(30+i%50))]++
	}
	index, _, sample, err := profile.PSI(age.Proportions(), counts[:len(age.Bins)])
	if err != nil {
		fmt.Println(err)
		return
	}
	threshold := profile.IndexThreshold(0.05, age.Baseline.Rows, sample, len(age.Bins))
	fmt.Printf("index %.4f, threshold %.4f, drift %t\n", index, threshold, index > threshold)
	// Output: index 4.4219, threshold 0.1423, drift true
}
