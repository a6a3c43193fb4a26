// Package event is the vocabulary that services share on the broker: topics,
// the groups that read them, and the headers every message carries.
//
//	topic    value                                      written by                read by (group)
//	spans    OTLP ExportTraceServiceRequest, protobuf   gateway, every service    trace-store
//	records  driftmesh.event.v1.RecordBatch             gateway                   ingest-worker
//	windows  driftmesh.event.v1.WindowsTouched          ingest-worker             drift
//	alerts   driftmesh.event.v1.AlertEvent              drift                     drift-notifier
//	inbox    records, OTLP protobuf or OTLP/JSON        producers, bypassing      ingest-worker
//	X.dlq    as X, with the reason in headers           whoever parks             people
//
// A message is never changed on its way: what the door accepted is what the
// store decodes. Everything the mesh has to say about it stands in headers;
// package envelope writes and reads them.
package event

// Topics.
const (
	Spans   = "spans"
	Records = "records"
	Windows = "windows"
	Alerts  = "alerts"
	Inbox   = "inbox"
)

// Groups, named after the service that works them.
const (
	GroupTraceStore = "trace-store"
	GroupIngest     = "ingest-worker"
	GroupDrift      = "drift"
	GroupNotifier   = "drift-notifier"
)

// Headers of every message. HeaderSeq and HeaderVoid belong to the ledger: a
// publishing process numbers its messages per topic, and names the numbers it
// gave out in vain, so that a reader can tell a lost message from one that
// never was.
const (
	HeaderTenant = "driftmesh-tenant" // who owns the data; set by the mesh alone
	HeaderCount  = "driftmesh-count"  // how many spans or records the message holds
	HeaderTime   = "driftmesh-time"   // when the door accepted it, Unix nanoseconds
	HeaderSeq    = "driftmesh-seq"    // "<instance>:<number>"
	HeaderVoid   = "driftmesh-void"   // numbers given out in vain, comma separated
	HeaderType   = "driftmesh-type"   // what the value is, a Type below
)

// Types of values.
const (
	TypeTraces  = "otlp.traces.v1"
	TypeRecords = "records.v1"
	TypeWindows = "windows.v1"
	TypeAlert   = "alert.v1"
)

// Signals, as the ledger names them.
const (
	SignalSpans   = "spans"
	SignalRecords = "records"
)

// Mesh is the tenant that owns what the mesh says about itself. No caller can
// be given it, and work on its behalf is never traced.
const Mesh = "driftmesh"

// Topics lists the topics that the mesh provisions, in the order of the table.
func Topics() []string { return []string{Spans, Records, Windows, Alerts} }
