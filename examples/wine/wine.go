// Package wine carries the red wine data set for programs that need real
// reference data: the demo and the tests. Where it comes from and who made it
// stands in the README beside it.
package wine

import (
	_ "embed"
	"fmt"
	"io"
	"strings"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

//go:embed winequality-red.csv
var file string

// CSV is the data set as it is in the file: a header, then one line for each of
// the 1,599 wines.
func CSV() io.Reader { return strings.NewReader(file) }

// Columns is the data set by column: eleven measurements, and last the quality
// that tasters gave. The caller owns it.
func Columns() ([]profile.Column, error) {
	columns, err := profile.ReadCSV(CSV(), profile.CSVOptions{})
	if err != nil {
		return nil, fmt.Errorf("read wine data: %w", err)
	}
	return columns, nil
}
