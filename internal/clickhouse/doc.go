// Package clickhouse is how the services reach ClickHouse, be it the embedded
// engine, a server or a cluster: always over its HTTP interface, by a URL.
//
// Queries go through DB, which is clickhouse-go's connection with our errors.
// Telemetry goes in through DB.Insert, which encodes columns straight into one
// Native block. Tables belong to the services: each has its own migrations and
// applies them with DB.Migrate.
//
// Errors that cross this package's boundary are faults: a statement that
// ClickHouse refuses is fault.Invalid, fault.NotFound or fault.Internal, a
// ClickHouse that is away, restarting or overloaded is fault.Unavailable, and
// errors.As finds the *Error with ClickHouse's code behind each.
package clickhouse
