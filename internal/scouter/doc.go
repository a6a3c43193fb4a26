// Package scouter turns what Scouter's clients say into the words of the mesh, and
// the mesh's answers into theirs. It is pure: no clock, no I/O, and nothing of
// Scouter's dialect is known anywhere else but at the door that uses it.
//
//	Decode   a message (records, spans or a tag) into records and OTLP
//	Profile  a profile's JSON into a profile of ours, which is kept beside it
//
// Two clients that both call themselves 0.25.0 name the same things differently
// (GenAI and Agent); both sets of names are understood.
//
// What Scouter's clients send has no ids. A record gets one that follows from what
// it says and from how many records before it in its message say the same: sent
// again it is the same record, and two equal records of one message are two.
package scouter
