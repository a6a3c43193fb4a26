// Package otlp handles OTLP trace requests as bytes: it checks them, cuts them
// and turns OTLP/JSON into OTLP protobuf, without ever making Go structs of
// them.
//
//	Scan      walks a request on the wire: how many spans, which are bad and why
//	Split     rewrites a request without its bad spans, mends others, and cuts
//	          it to a message size
//	FromJSON  OTLP/JSON to protobuf
//	ToJSON    protobuf to OTLP/JSON
//
// Everything here is a pure function over byte slices: no clock, no I/O, no
// state. A request that is all good costs no allocation to scan. The functions
// are safe to call concurrently; none of them changes its input or keeps it.
//
// A protobuf wire that cannot be read makes the whole request bad (an error of
// kind fault.Invalid). A span that cannot be one makes only that span bad. What
// is only too large, too deep or not UTF-8 is mended and says so in an attribute
// of its own (MarkMended); absurd times are kept. Field numbers are exported for
// those who decode the same bytes into columns.
package otlp
