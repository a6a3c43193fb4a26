// Package ingest is the service that stores records: the values of features,
// metrics and contexts that came through the door.
//
//	consumes  topic records (group ingest-worker)
//	produces  topic windows: which minutes of which profiles have new rows
//	calls     drift: GetProfile, once per profile
//	owns      tables observations, observation_ids, metric_records, contexts, record_ledger
//
// The way of a batch of messages:
//
//	records ──▶ normalize ──▶ block ──▶ tables ──▶ ledger ──▶ windows ──▶ acknowledge
//	              │ drift: profile, kept
//	              └─▶ a bad record is rejected alone, with a reason, in the ledger
//
// Each arrow is durable before the next begins, and each can be repeated: a
// crash anywhere means that the batch comes again and changes nothing. A
// message that is no batch of records is parked.
//
// Package normalize decides, package store writes; this package only connects
// them. Producers that bypass the gateway will come in through a second runner,
// on the topic inbox, whose handler admits a message and republishes it to
// records: what follows is the same code.
package ingest
