package scouter_test

import (
	"os"
	"testing"

	"github.com/driftmesh/driftmesh/test/server/nats"
)

func TestMain(m *testing.M) {
	nats.Child()
	os.Exit(m.Run())
}
