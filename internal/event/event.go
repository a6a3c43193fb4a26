// Package event is the vocabulary that services share on the broker: topics,
// the groups that read them, and the headers every message carries.
//
//	topic            value                                      written by                read by (group)
//	spans            OTLP ExportTraceServiceRequest, protobuf   gateway, every service    trace-store
//	records          driftmesh.event.v1.RecordBatch             gateway                   ingest-worker
//	windows          driftmesh.event.v1.WindowsTouched          ingest-worker             drift
//	alerts           driftmesh.event.v1.AlertEvent              drift                     drift-notifier
//	inbox            records, OTLP protobuf or OTLP/JSON        producers, bypassing,     ingest-worker
//	                 or records in the words of Scouter         ingest-worker, gateway
//	span-receipts    driftmesh.event.v1.Receipt                 gateway                   trace-store
//	record-receipts  driftmesh.event.v1.Receipt                 gateway                   ingest-worker
//	X.retry          as X, of records and inbox                 whoever reads X           as X
//	X.dlq            as X, with the reason in headers           whoever parks             dead-letters
//
// A message is never changed on its way: what the door accepted is what the
// store decodes, though spans are compressed between them (HeaderEncoding). Everything the mesh has to say about it stands in headers;
// package envelope writes and reads them.
//
// The Catalogue says all this for programs: topics are provisioned from it, and
// docs/asyncapi.yaml is made from it.
package event

// Topics.
const (
	Spans   = "spans"
	Records = "records"
	Windows = "windows"
	Alerts  = "alerts"
	Inbox   = "inbox"

	SpanReceipts   = "span-receipts"
	RecordReceipts = "record-receipts"
)

// Groups, named after the service that works them.
const (
	GroupTraceStore = "trace-store"
	GroupIngest     = "ingest-worker"
	GroupDrift      = "drift"
	GroupNotifier   = "drift-notifier"
	// GroupDeadLetters reads the dead letters of every topic into the store.
	GroupDeadLetters = "dead-letters"
)

// Headers of every message. HeaderSeq belongs to the ledger: a gateway process
// numbers its messages in lanes, and tells in receipts how far each lane was
// acknowledged, so that a lost message can be told from one that never was.
const (
	HeaderTenant = "driftmesh-tenant" // who owns the data; set by the mesh alone
	HeaderCount  = "driftmesh-count"  // how many spans or records the message holds
	HeaderTime   = "driftmesh-time"   // when the door accepted it, Unix nanoseconds
	HeaderSeq    = "driftmesh-seq"    // "<account>:<number>", of a gateway "<process>/<lane>:<number>"
	HeaderType   = "driftmesh-type"   // what the value is, a Type below
	HeaderSender = "driftmesh-sender" // who brought it to the door, an identity.Identity's Principal; set by the mesh alone

	HeaderSignature = "driftmesh-signature" // by which a service of the mesh proves to have published it

	HeaderEncoding = "content-encoding" // on the topic spans: how the value is compressed; absent when it is not
)

// Headers of a message that was published again: after it was parked, or because
// it has to wait. It has a new id, because brokers drop an id that they have
// seen; for the ledger it is still the message it was.
const (
	HeaderOrigin   = "driftmesh-origin"   // the id under which the ledger knows it
	HeaderRedriven = "driftmesh-redriven" // how often it was published again after it was parked
)

// Headers of a message on the topic inbox, by which its producer proves who it
// is. They end there: nothing is forwarded with them, nor parked.
const (
	HeaderAuthorization = "authorization"         // "Bearer " and a token or an API key
	HeaderAPIKey        = "x-api-key"             // an API key
	HeaderBrokerUser    = "driftmesh-broker-user" // the broker's verified user; set by the driver alone
	HeaderSeal          = "driftmesh-seal"        // on a parked message: whose it was found to be, provably
	HeaderContentType   = "content-type"          // how the value is encoded, where its type does not say
)

// HeaderTraceParent and HeaderTraceState are the W3C trace context.
const (
	HeaderTraceParent = "traceparent"
	HeaderTraceState  = "tracestate"
)

// MaxTraceState is the longest tracestate that is passed on, in bytes: as much
// as the specification wants of everybody. A longer one is left behind whole.
const MaxTraceState = 512

// Types of values.
const (
	TypeTraces     = "otlp.traces.v1"
	TypeTracesJSON = "otlp.traces.json.v1" // on the topic inbox only
	TypeRecords    = "records.v1"
	TypeScouter    = "scouter.records.v1" // on the topic inbox only
	TypeWindows    = "windows.v1"
	TypeSpanTimes  = "span-times.v1"
	TypeAlert      = "alert.v1"
	TypeReceipt    = "receipt.v1"
)

// SeqInbox is the sequence of messages that come from the topic inbox: the
// account of that name has no numbers. It is kept message by message instead,
// because a message may be taken in twice and must then be the same one.
const (
	InstanceInbox = "inbox"
	SeqInbox      = InstanceInbox + ":0"
)

// Signals, as the ledger names them.
const (
	SignalSpans   = "spans"
	SignalRecords = "records"
)

// Mesh is the tenant that owns what the mesh says about itself. No caller can
// be given it, and work on its behalf is never traced.
const Mesh = "driftmesh"
