package event

// Patterns of header values.
const (
	patternNumber = `^[0-9]+$`
	patternTenant = `^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`
	patternParent = `^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}`
)

func tenantHeader(required bool) Header {
	return Header{
		Name: HeaderTenant, Meaning: "Who owns the data, as a door found out.", Pattern: patternTenant,
		Example: "default", SetBy: ByMesh, Required: required,
	}
}

func traceHeaders() []Header {
	return []Header{
		{
			Name: HeaderTraceParent, Meaning: "W3C trace context of what made the message. Where it is sampled, every hop of the message through the mesh stands in that trace.",
			Pattern: patternParent, Example: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", SetBy: ByProducer,
		},
		{Name: HeaderTraceState, Meaning: "W3C tracestate that goes with it.", Example: "vendor=value", SetBy: ByProducer},
	}
}

// stamped are the headers of messages that a service of the mesh publishes.
func stamped(kind, counted string) []Header { return stampedAs([]string{kind}, counted) }

func stampedAs(kinds []string, counted string) []Header {
	return append([]Header{
		tenantHeader(true),
		{Name: HeaderType, Meaning: "What the value is.", Values: kinds, Example: kinds[0], SetBy: ByMesh, Required: true},
		{Name: HeaderCount, Meaning: "How many " + counted + " the message holds.", Pattern: patternNumber, Example: "500", SetBy: ByMesh, Required: true},
		{Name: HeaderTime, Meaning: "When it was accepted, Unix nanoseconds; the same on every delivery.", Pattern: patternNumber, Example: "1795255200000000000", SetBy: ByMesh, Required: true},
		{Name: HeaderSeq, Meaning: "The ledger's account that accepted it, and its number there; " + SeqInbox + " where it came from the inbox.", Pattern: `^[^:]+:[0-9]+$`, Example: "0190b6a2-8f3e-7c41-9a55-3f1f0e9a7d10/1:42", SetBy: ByMesh},
		{Name: HeaderSender, Meaning: "Who brought it: a user, an API key, a service or a user of the broker, as a door found out.", Example: "key:acme/3f0c2a41", SetBy: ByMesh},
		{Name: HeaderSignature, Meaning: "Proof, with the mesh secret, that a service of the mesh published it: of these headers, its id and its value. What has none is parked as forged.", Pattern: `^[A-Za-z0-9_-]{22}$`, Example: "q83vASNFZ4mrze8BI0VniQ", SetBy: ByMesh},
	}, append(traceHeaders(), redrivenHeaders()...)...)
}

func encodingHeader() Header {
	return Header{
		Name: HeaderEncoding, Meaning: "How the value is compressed: snappy is Snappy's block format. Absent when it is not.",
		Values: []string{"snappy"}, Example: "snappy", SetBy: ByMesh,
	}
}

func redrivenHeaders() []Header {
	return []Header{
		{Name: HeaderOrigin, Meaning: "Of a message that was published again, because it was parked or has to wait: the id under which the ledger knows it.", Example: "0190b6a2-8f3e-7c41-9a55-3f1f0e9a7d10", SetBy: ByMesh},
		{Name: HeaderRedriven, Meaning: "How often it was parked and published again.", Pattern: patternNumber, Example: "1", SetBy: ByMesh},
	}
}

func inboxHeaders() []Header {
	types := []string{TypeTraces, TypeTracesJSON, TypeRecords, TypeScouter}
	return append([]Header{
		{
			Name: HeaderType, Meaning: "What the value is. Without it the content-type decides: application/json is " + TypeTracesJSON + ", anything else " +
				TypeTraces + "; without that too, a value that begins with { is JSON.",
			Values: types, Example: TypeTraces, SetBy: ByProducer,
		},
		{Name: HeaderContentType, Meaning: "Media type of the value, read where driftmesh-type is missing.", Example: "application/json", SetBy: ByProducer},
		{
			Name: HeaderAuthorization, Meaning: "\"Bearer \" and a user's token or an API key. It must be good when the message is read, so an API key outlives an outage and a token may not. " +
				"Required, or else x-api-key, unless the mesh takes the broker's word for who publishes (ingest-worker.inbox-auth).",
			Pattern: `^[Bb]earer .+`, Example: "Bearer dm_…", SetBy: ByProducer,
		},
		{Name: HeaderAPIKey, Meaning: "An API key, instead of authorization.", Pattern: `^dm_`, Example: "dm_…", SetBy: ByProducer},
		{Name: HeaderBrokerUser, Meaning: "The broker's verified user, where ingest-worker.inbox-auth is broker: on RabbitMQ the property user-id.", SetBy: ByDriver},
		sealHeader(),
	}, append(traceHeaders(), redrivenHeaders()...)...)
}

func sealHeader() Header {
	return Header{
		Name: HeaderSeal, Meaning: "On a message that was parked, or has to wait, or that the mesh itself took from elsewhere: the tenant it was found to belong to, sealed with the mesh secret together with the value. It stands for the credentials, which are not kept.",
		SetBy: ByMesh,
	}
}
