// Package ingest is the service that stores records: the values of features,
// metrics and contexts that came through the door. It is also the door of those
// who publish past the gateway.
//
//	consumes  topic records and topic inbox, with their retry topics (group ingest-worker)
//	produces  topic windows: which minutes of which profiles have new rows;
//	          topics spans and records: what is good of the inbox
//	calls     drift: GetProfile, once per profile; auth: ListKeys, CheckAPIKey, WatchRevocations, WatchLimits
//	owns      tables observations, observation_ids, metric_records, contexts, record_ledger, inbox_ledger
//
// The way of a batch of messages:
//
//	records ──▶ normalize ──▶ block ──▶ tables ──▶ ledger ──▶ windows ──▶ acknowledge
//	              │ drift: profile, kept
//	              └─▶ a bad record is rejected alone, with a reason, in the ledger
//
// Each arrow is durable before the next begins, and each can be repeated: a
// crash anywhere means that the batch comes again and changes nothing. A
// message that is no batch of records is parked. One whose profile drift cannot
// be asked for now moves to the topic records.retry, where another runner of the
// same handler tries it again: for the store all wait, for drift nobody else does.
//
// Package normalize decides, package store writes; this package only connects
// them.
//
// The inbox is worked by the same rules; there auth may be away too:
//
//	inbox ──▶ admit ──▶ inbox ledger ──▶ spans, records ──▶ acknowledge
//	            │ auth: who sent it; drift: profile
//	            └─▶ a bad span or record is rejected alone, with a reason, in the ledger
//
// Whatever is made of a message has the same ids each time, so that one which
// comes twice counts once. A message that cannot be taken is parked, without the
// credentials of its sender but with a seal that stands for them.
//
// Who asks is answered from the same tables: the ledger of records, who sent them,
// and, by RecordService, the records of a trace and the trace of a record.
//
// Package deadletter moves what any service has parked into the store, shows it
// and redrives it; it stands here because this service is where messages become
// rows, and has nothing else to do with the rest.
package ingest
