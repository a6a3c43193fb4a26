package event

// Where the payloads are defined.
const (
	eventProto = "https://github.com/driftmesh/driftmesh/blob/main/proto/driftmesh/event/v1/event.proto"
	otlpProto  = "https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/collector/trace/v1/trace_service.proto"
	otlpJSON   = "https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding"
	protobuf   = "application/x-protobuf"

	scouterDocs = "https://github.com/driftmesh/driftmesh/blob/main/docs/scouter.md"
)

func tracesValue() Value {
	return Value{
		Type: TypeTraces, Name: "OTLPTraces", Carries: "Spans as OpenTelemetry exporters send them.",
		ContentType: protobuf, Message: "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest", Schema: otlpProto,
	}
}

func recordsValue() Value {
	return Value{
		Type: TypeRecords, Name: "RecordBatch", Carries: "Records: features, metrics and contexts.",
		ContentType: protobuf, Message: "driftmesh.event.v1.RecordBatch", Schema: eventProto,
	}
}

func spansTopic() Topic {
	return Topic{
		Name: Spans, Carries: "Spans that a door has accepted: an OTLP request as it was received, cut between spans only where it is larger than the broker's limit.",
		Values: []Value{tracesValue()}, Headers: append(stamped(TypeTraces, "spans"), encodingHeader()),
		Groups: []string{GroupTraceStore}, Writers: "gateway, ingest-worker and, of its own spans, every service",
		Limits: []string{"At most the broker's largest message; the door leaves 4 KiB of it to headers."},
	}
}

func recordsTopic() Topic {
	return Topic{
		Name: Records, Carries: "Records that a door has accepted: ids and event times are set, and profiles are uids.",
		Values: []Value{recordsValue()}, Headers: stamped(TypeRecords, "records"),
		Groups: []string{GroupIngest}, Retried: true, Writers: "gateway, ingest-worker",
		Limits: []string{"512 KiB, or one record where that alone is larger."},
	}
}

func windowsTopic() Topic {
	return Topic{
		Name: Windows, Carries: "Which minutes of event time of which profile have new observations, and which of which service new spans.",
		Values: []Value{{
			Type: TypeWindows, Name: "WindowsTouched", Carries: "One profile and the minutes that were touched.",
			ContentType: protobuf, Message: "driftmesh.event.v1.WindowsTouched", Schema: eventProto,
		}, {
			Type: TypeSpanTimes, Name: "SpansTouched", Carries: "Services and the minutes in which new spans of them began.",
			ContentType: protobuf, Message: "driftmesh.event.v1.SpansTouched", Schema: eventProto,
		}},
		Headers: stampedAs([]string{TypeWindows, TypeSpanTimes}, "minutes"), Groups: []string{GroupDrift}, Writers: "ingest-worker, trace-store",
		Key: "The profile's uid, 16 bytes; of spans the tenant.", Limits: []string{"At most 50,000 minutes in a message."},
	}
}

func alertsTopic() Topic {
	return Topic{
		Name: Alerts, Carries: "What happened to an alert.",
		Values: []Value{{
			Type: TypeAlert, Name: "AlertEvent", Carries: "One alert and what happened to it.",
			ContentType: protobuf, Message: "driftmesh.event.v1.AlertEvent", Schema: eventProto,
		}},
		Headers: stamped(TypeAlert, "alerts"), Groups: []string{GroupNotifier}, Writers: "drift",
	}
}

func receiptsTopic(name, signal, group string) Topic {
	return Topic{
		Name: name, Carries: "What the doors have acknowledged of " + signal + " so far. A caller is answered after the receipt is durable.",
		Values: []Value{{
			Type: TypeReceipt, Name: "Receipt", Carries: "What one gateway process has taken in, on the accounts that changed.",
			ContentType: protobuf, Message: "driftmesh.event.v1.Receipt", Schema: eventProto,
		}},
		Headers: stamped(TypeReceipt, "accounts"), Groups: []string{group}, Writers: "gateway",
		Limits: []string{"256 KiB, or one account where that alone is larger."},
	}
}

func inboxTopic() Topic {
	traces, records := tracesValue(), recordsValue()
	return Topic{
		Name: Inbox, Open: true, Retried: true,
		Carries: "Spans or records of producers that bypass the gateway. Each message is checked as at the gateway's door: who sends it, then span by span or record by record. " +
			"What is good is forwarded to spans or records, what breaks a rule is counted in the ledger with its reason, and a message that cannot be taken at all is parked in inbox.dlq.",
		Values: []Value{traces, {
			Type: TypeTracesJSON, Name: "OTLPTracesJSON", Carries: "Spans as OTLP/JSON.",
			ContentType: "application/json", Schema: otlpJSON,
		}, records, {
			Type: TypeScouter, Name: "ScouterRecords", Carries: "Records as Scouter's clients write them. Where the profile of one is not registered, the message is parked, to be redriven when it is.",
			ContentType: "application/json", Schema: scouterDocs,
		}},
		Headers: inboxHeaders(), Groups: []string{GroupIngest},
		Writers: "anybody whom the broker lets publish; ingest-worker, of what it finds on brokers of Scouter's clients; gateway, of what they send there for profiles that are not known",
		Limits: []string{
			"At most the broker's largest message, and 64 MiB.",
			"A batch holds at most 100,000 records and names at most 256 profiles; a record's context is at most 1 MiB of JSON.",
			"A span has at most 10,000 attributes of at most 1 MiB each, and starts at most 9 years back and ends at most a day ahead.",
		},
	}
}
