// Package store keeps what drift owns: in SQL (State) the profiles, their
// schedules, which windows wait for work, alerts and what must be said about
// them; in ClickHouse (Cells) the cells of windows and the scores.
//
// Every method is safe for concurrent use, and for any number of processes on
// the same databases. Times are kept to the microsecond, in UTC. Errors are
// faults: what sqlstate and clickhouse give, and those the methods name.
package store
