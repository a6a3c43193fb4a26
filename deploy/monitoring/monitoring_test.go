package monitoring_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/driftmesh/driftmesh/deploy/monitoring"
	"github.com/driftmesh/driftmesh/test/server"
)

// The files are what the code makes; make generate writes them.
func TestDashboardsAreFresh(t *testing.T) {
	entries, err := os.ReadDir("dashboards")
	require.NoError(t, err)
	all := monitoring.Dashboards()
	require.Len(t, entries, len(all))
	for _, d := range all {
		want, err := d.JSON()
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join("dashboards", d.UID+".json"))
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), d.UID)
	}
}

// page is what Grafana asks of a dashboard's file.
type page struct {
	UID, Title string
	Templating struct {
		List []struct{ Name, Type string }
	}
	Panels []struct {
		ID      int
		Type    string
		GridPos struct{ X, Y, W, H int }
		Targets []struct {
			RefID      string
			Datasource struct{ Type, UID string }
		}
	}
}

// Grafana refuses what has no uid, and draws over each other what is in one place.
func TestDashboardsFitTogether(t *testing.T) {
	for _, d := range monitoring.Dashboards() {
		raw, err := d.JSON()
		require.NoError(t, err)
		var p page
		require.NoError(t, json.Unmarshal(raw, &p))
		require.Regexp(t, `^[a-z-]{1,40}$`, p.UID)
		variables := map[string]string{}
		for _, v := range p.Templating.List {
			require.NotContains(t, variables, v.Name)
			variables[v.Name] = v.Type
		}
		ids, taken := map[int]bool{}, map[[2]int]int{}
		for _, panel := range p.Panels {
			require.False(t, ids[panel.ID], "%s: panel %d", p.UID, panel.ID)
			ids[panel.ID] = true
			require.LessOrEqual(t, panel.GridPos.X+panel.GridPos.W, 24)
			for x := range panel.GridPos.W {
				for y := range panel.GridPos.H {
					at := [2]int{panel.GridPos.X + x, panel.GridPos.Y + y}
					require.NotContains(t, taken, at, "%s: panels %d and %d", p.UID, panel.ID, taken[at])
					taken[at] = panel.ID
				}
			}
			for _, target := range panel.Targets {
				name := regexp.MustCompile(`^\$\{(\w+)\}$`).FindStringSubmatch(target.Datasource.UID)
				require.Len(t, name, 2, target.Datasource.UID)
				require.Equal(t, "datasource", variables[name[1]])
			}
		}
	}
}

// Each alert fires in a case of driftmesh_test.yaml, and does not in the first.
func TestRules(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		server.Missing(t, "prometheus", "promtool is not there; scripts/setup.sh installs it")
	}
	test := exec.Command(promtool, "test", "rules", "driftmesh_test.yaml")
	test.Dir = "rules"
	out, err := test.CombinedOutput()
	require.NoError(t, err, string(out))

	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert       string
				Labels      map[string]string
				Annotations map[string]string
			}
		}
	}
	var cases struct {
		Tests []struct {
			Alerts []struct {
				Name  string `yaml:"alertname"`
				Fires []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	for file, into := range map[string]any{"driftmesh.yaml": &rules, "driftmesh_test.yaml": &cases} {
		raw, err := os.ReadFile(filepath.Join("rules", file))
		require.NoError(t, err)
		require.NoError(t, yaml.Unmarshal(raw, into))
	}
	fires, rests := map[string]bool{}, map[string]bool{}
	for i, c := range cases.Tests {
		for _, a := range c.Alerts {
			fires[a.Name] = fires[a.Name] || len(a.Fires) > 0
			rests[a.Name] = rests[a.Name] || (i == 0 && len(a.Fires) == 0)
		}
	}
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			if rule.Alert == "" {
				continue
			}
			require.True(t, fires[rule.Alert], "%s never fires", rule.Alert)
			require.True(t, rests[rule.Alert], "%s is not held against a mesh that is well", rule.Alert)
			require.Contains(t, []string{"warning", "critical"}, rule.Labels["severity"], rule.Alert)
			require.NotEmpty(t, rule.Annotations["summary"], rule.Alert)
		}
	}
}
