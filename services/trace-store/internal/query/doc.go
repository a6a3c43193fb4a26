// Package query reads what package store has written: a trace by id, traces by
// what their spans look like, the names of services and operations, and the
// ledger.
//
// Every question is asked on behalf of one tenant and answered from that
// tenant's rows alone. Every answer holds each span once, whatever has been
// delivered twice, and has a bound; what was cut says so. Text from callers
// reaches ClickHouse only as query parameters.
package query
