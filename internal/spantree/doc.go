// Package spantree puts the spans of a trace into their tree and says what is
// odd about them.
//
// Spans are linked by ids, and ids are only as good as those who made them:
// parents are missing, clocks differ, a span is its own ancestor, and client
// and server share one id, as Zipkin has it. Build makes a tree of whatever it
// is given, with an id for each span that no other has, and the same tree
// whatever order the spans come in.
//
// The package is pure: it knows neither stores nor clocks.
package spantree
