package monitoring

import "encoding/json"

// The data sources of the dashboards, by the uid that the provisioning of the
// compose file gives them. Whoever imports a file elsewhere chooses his own: each
// is a variable of the dashboard.
const (
	Prometheus = "prometheus"
	ClickHouse = "clickhouse"
	Jaeger     = "jaeger"
)

var sourceTypes = map[string]string{Prometheus: "prometheus", ClickHouse: "grafana-clickhouse-datasource", Jaeger: "jaeger"}

// Dashboard is one page of Grafana.
type Dashboard struct {
	UID, Title, Help string
	Variables        []Variable
	Rows             []Row
}

// Variable is a choice at the top of the page: the values of a label.
type Variable struct{ Name, Title, Query string }

// Row is a heading and the panels below it.
type Row struct {
	Title  string
	Panels []Panel
}

// Kind is how a panel shows its numbers, in Grafana's words.
type Kind string

// Kinds of panels.
const (
	Lines Kind = "timeseries"
	Stat  Kind = "stat"
	Table Kind = "table"
)

// Panel is one picture.
type Panel struct {
	Title, Help string
	Kind        Kind   // "" is Lines
	Unit        string // of Grafana's; "" is short
	Width       int    // of 24; 0 is 8
	Warn, Bad   float64
	Queries     []Query
}

// Query asks one data source.
type Query struct {
	Source string // "" is Prometheus
	Expr   string // PromQL, SQL, or the service whose traces are searched
	Legend string
	// Quiet says that there is nothing to see while all is well, because the
	// series begins with the first thing that goes wrong.
	Quiet bool
}

// source is where a query goes.
func (q Query) source() string {
	if q.Source == "" {
		return Prometheus
	}
	return q.Source
}

type object = map[string]any

// JSON is the dashboard as Grafana imports it.
func (d Dashboard) JSON() ([]byte, error) {
	panels, y, id := []object{}, 0, 0
	for _, row := range d.Rows {
		id++
		panels = append(panels, object{"id": id, "type": "row", "title": row.Title, "collapsed": false, "panels": []object{}, "gridPos": grid(0, y, 24, 1)})
		y++
		x, tallest := 0, 0
		for _, p := range row.Panels {
			width, height := p.size()
			if x+width > 24 {
				x, y, tallest = 0, y+tallest, 0
			}
			id++
			panels = append(panels, p.json(id, grid(x, y, width, height)))
			x, tallest = x+width, max(tallest, height)
		}
		y += tallest
	}
	variables := []object{}
	for _, source := range []string{Prometheus, ClickHouse, Jaeger} {
		if d.asks(source) {
			variables = append(variables, object{
				"name": source, "type": "datasource", "query": sourceTypes[source], "hide": 2,
				"current": object{"text": source, "value": source},
			})
		}
	}
	for _, v := range d.Variables {
		variables = append(variables, object{
			"name": v.Name, "label": v.Title, "type": "query", "datasource": uid(Prometheus), "definition": v.Query,
			"query": object{"query": v.Query, "refId": v.Name}, "refresh": 2, "sort": 1, "multi": true, "includeAll": true, "allValue": ".*",
			"current": object{"text": []string{"All"}, "value": []string{"$__all"}},
		})
	}
	raw, err := json.MarshalIndent(object{
		"uid": d.UID, "title": d.Title, "description": d.Help, "tags": []string{"driftmesh"}, "schemaVersion": 39, "version": 1, "editable": true,
		"graphTooltip": 1, "refresh": "10s", "time": object{"from": "now-30m", "to": "now"}, "timezone": "browser",
		"links":       []object{{"type": "dashboards", "tags": []string{"driftmesh"}, "title": "driftmesh", "asDropdown": true, "keepTime": true, "icon": "external link"}},
		"annotations": object{"list": []object{}}, "templating": object{"list": variables}, "panels": panels,
	}, "", " ")
	return append(raw, '\n'), err
}

func (d Dashboard) asks(source string) bool {
	for _, row := range d.Rows {
		for _, p := range row.Panels {
			for _, q := range p.Queries {
				if q.source() == source {
					return true
				}
			}
		}
	}
	return false
}

func grid(x, y, w, h int) object { return object{"x": x, "y": y, "w": w, "h": h} }

// uid names a data source by the variable that has it.
func uid(source string) object {
	return object{"type": sourceTypes[source], "uid": "${" + source + "}"}
}

func (p Panel) size() (width, height int) {
	width, height = p.Width, 8
	if p.Kind == Stat {
		height = 4
	}
	if width == 0 {
		width = 8
	}
	return width, height
}

func (p Panel) json(id int, at object) object {
	kind, unit := p.Kind, p.Unit
	if kind == "" {
		kind = Lines
	}
	if unit == "" {
		unit = "short"
	}
	targets := make([]object, len(p.Queries))
	for i, q := range p.Queries {
		targets[i] = q.json(string(rune('A'+i)), kind)
	}
	steps := []object{{"color": "green", "value": nil}}
	if p.Warn != 0 {
		steps = append(steps, object{"color": "orange", "value": p.Warn})
	}
	if p.Bad != 0 {
		steps = append(steps, object{"color": "red", "value": p.Bad})
	}
	defaults := object{"unit": unit, "noValue": "0", "thresholds": object{"mode": "absolute", "steps": steps}}
	options := object{}
	switch kind {
	case Lines:
		defaults["noValue"] = "nothing"
		defaults["custom"] = object{"drawStyle": "line", "lineWidth": 1, "fillOpacity": 8, "showPoints": "auto", "spanNulls": false}
		options = object{"legend": object{"displayMode": "table", "placement": "bottom", "calcs": []string{"lastNotNull", "max"}}, "tooltip": object{"mode": "multi", "sort": "desc"}}
	case Stat:
		defaults["color"] = object{"mode": "thresholds"}
		options = object{"reduceOptions": object{"calcs": []string{"lastNotNull"}}, "colorMode": "background", "graphMode": "area", "textMode": "auto"}
	case Table:
		options = object{"showHeader": true, "cellHeight": "sm"}
	}
	return object{
		"id": id, "type": string(kind), "title": p.Title, "description": p.Help, "gridPos": at, "datasource": targets[0]["datasource"],
		"targets": targets, "fieldConfig": object{"defaults": defaults, "overrides": []object{}}, "options": options,
	}
}

func (q Query) json(ref string, kind Kind) object {
	target := object{"refId": ref, "datasource": uid(q.source())}
	switch q.source() {
	case ClickHouse:
		target["editorType"], target["rawSql"] = "sql", q.Expr
		target["format"] = 0 // a time series
		if kind == Table {
			target["format"] = 1
		}
	case Jaeger:
		target["queryType"], target["service"], target["limit"] = "search", q.Expr, 20
	default:
		target["editorMode"], target["expr"], target["legendFormat"] = "code", q.Expr, q.Legend
		target["exemplar"], target["instant"], target["range"] = kind == Lines, kind != Lines, kind == Lines
		if kind == Table {
			target["format"] = "table"
		}
	}
	return target
}

// Dashboards are all there are.
func Dashboards() []Dashboard { return []Dashboard{health(), calls(), drift(), sensors()} }

// quantiles are three queries for the middle and the slow end of a histogram, whose
// rate by le and these labels is in rate.
func quantiles(legend, rate string) []Query {
	var queries []Query
	for _, q := range []struct{ name, of string }{{"p50", "0.5"}, {"p95", "0.95"}, {"p99", "0.99"}} {
		queries = append(queries, Query{Expr: "histogram_quantile(" + q.of + ", " + rate + ")", Legend: q.name + " " + legend})
	}
	return queries
}
