// Package alert decides what an evaluation means for the alerts of a monitor
// (Standing and Decide), and knows what there is to tell of them (Event), which
// of them are meant (Match) and which are not told of (Silence). All of it is
// pure; packages route and notify carry the news to people.
//
// A feature has moved while its monitor found drift in k of its last n
// evaluations; one that was insufficient is not counted. A monitor has one alert
// for all of them:
//
//	before             features that moved       then
//	no open alert      some                      raised
//	open alert         one it had not yet        grew: told
//	open alert         some of those it had      repeated: counted, told again after a while
//	open alert         none                      resolved
//
// Verdicts count in the order of their slots. An evaluation that is done again
// after a crash finds its verdicts there and changes nothing: work is repeated,
// alerts are not. One that comes out differently, by late data, takes the place
// of the one before.
package alert
