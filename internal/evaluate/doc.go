// Package evaluate runs the checks of a profile on one record: on its context, on
// the trace that it belongs to, and on an answer of a language model in it.
//
//	New   reads the checks of a profile, and refuses what can never be run
//	Run   runs them on a Record, and says of each what it came to
//
// It is pure: no clock and no I/O. The same record and trace give the same results,
// whatever the order in which checks stand in the profile.
//
// Operators, values and the rules for lists are those of Scouter, whose client says
// what is right (package scouter, testdata/checks.json.gz). Where that gives
// up on a whole record, here one check is failed, and says why.
package evaluate
