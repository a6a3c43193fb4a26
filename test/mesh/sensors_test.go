package mesh_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/test/mesh"
)

// What "make sensors" shows, without waiting for a minute to be over.
func TestTheSensorsShowADriftAndTheCallsBehindIt(t *testing.T) {
	t.Parallel()
	mesh.RequireEngine(t)
	driftmesh, sensors := mesh.Binary(t, "./cmd/driftmesh"), mesh.Binary(t, "./examples/sensors")
	certs := filepath.Join(t.TempDir(), "sensors")
	out, err := exec.Command(driftmesh, "certs", "make", "sensors", "--dir", certs).CombinedOutput()
	require.NoError(t, err, string(out))
	show := func(args ...string) (string, error) {
		cmd := exec.Command(sensors, append([]string{"show", "-driftmesh", driftmesh, "-cert", filepath.Join(certs, "sensors.pem"),
			"-key", filepath.Join(certs, "sensors.key"), "-ca", filepath.Join(certs, "ca.pem"), "-at-once", "-after", "0s"}, args...)...)
		cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir()) // where logs stay when it fails
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	said, err := show()
	require.NoError(t, err, said)
	for _, want := range []string{
		"SendSingleReading", "StreamSensorReadings", "GetSensorReadings", "SensorChat", "ALERT of sensors/readings/0.1.0, monitor calibration: temperature",
		"✓ metrics of the four methods", "✓ a trace of each kind of call", "✓ an alert of the monitor calibration", "✓ the sensor that carries it", "✓ the call behind it",
	} {
		require.Contains(t, said, want)
	}
	// What is not to be seen in time is no success.
	said, err = show("-within", "10ms")
	require.Error(t, err, said)
	require.Contains(t, said, "waiting for the mesh")
}
