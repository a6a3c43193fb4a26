// Package admit decides what becomes of a message that somebody outside the
// mesh has published to the topic inbox: whose it is, what it holds, and which
// messages carry the good part of that on.
//
//	caller   who sent it: credentials in headers, the broker's word, or a seal
//	form     what the value is: OTLP protobuf, OTLP/JSON or a batch of records
//	Admitter span by span and record by record, by the rules of the gateway's
//	         door (packages otlp and record), into messages for spans and records
//
// The same message always gives the same result, down to the ids of what is
// forwarded and of records that had none: so a message may be taken in any
// number of times and counts once. Nothing here publishes or stores.
package admit
