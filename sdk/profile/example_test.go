package profile_test

import (
	"fmt"
	"strings"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Make a profile from a CSV file and count later values by its bins, which the
// monitors of a mesh compare with those of the reference.
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
	for i, b := range age.Bins {
		fmt.Printf("up to %v: %.2f, then %.2f\n", b.Upper, b.Proportion, profile.Share(counts[i], 200))
	}
	// Output:
	// up to 29.8: 0.20, then 0.00
	// up to 39.6: 0.20, then 0.20
	// up to 49.4: 0.20, then 0.20
	// up to 59.2: 0.20, then 0.20
	// up to +Inf: 0.20, then 0.40
}
