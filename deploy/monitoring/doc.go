// Package monitoring is what an operator looks at: Grafana's dashboards, made here
// and kept in dashboards/, and Prometheus' rules, written by hand in rules/. Both
// work for the mesh as five programs and as one.
//
// The compose file mounts them; anybody else imports the files. The tests beside it
// run every query and every rule in a real Prometheus that scrapes a mesh at work, and
// in ClickHouse.
package monitoring
