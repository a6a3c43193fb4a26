// Package alert decides what an evaluation means for the alerts of a feature
// (Decide, which is pure), and carries the news to people (Notifier).
//
//	before             verdict        then
//	no open alert      drift          raised
//	open alert         drift          repeated: counted, told again after a while
//	open alert         ok             resolved
//	any                insufficient   nothing
//
// Verdicts count in the order of their slots. An evaluation that is done again
// after a crash finds its verdict there and changes nothing: work is repeated,
// alerts are not.
package alert
