package sqlstate_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/driftmesh/driftmesh/internal/sqlstate/sqltest"
)

func TestMain(m *testing.M) {
	code := sqltest.Main(m)
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
