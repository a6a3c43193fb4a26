// Package window counts the windows of a profile: it has the ClickHouse statements
// that find their rows (Statements), and makes the rows of table cells of them
// (Tally). It is pure: it opens nothing and runs nothing.
//
// A window is one UTC minute of event time of one profile. Its cells are, for
// each feature, a count for every bin (the regular ones, then the special ones
// in the order of sdk/profile), the keys of a few exemplar records, and of numbers
// what detectors need besides: the range, exact sums, and sub-groups in the order
// of event time. They are always computed whole from the rows of table
// observations, so that any worker may compute any window at any time, twice, or
// late, and the result depends on the rows alone.
//
// # Which rows count
//
// A record counts once, in one window. Of several rows with one record id the
// one with the greatest (ContentHash, Minute) is the record. Inside a minute
// FINAL picks it. Rows that lose to a row of another minute are found in
// observation_ids, which is sorted by record id, and written to table losers;
// once lost is lost for ever, so that table only grows. Finding them comes
// before recomputing, for the touched windows, in slices that bound its memory;
// where a record moved to another window, the other is recomputed too.
//
// # Which result wins
//
// Two workers may write the cells of one window, one of them having seen fewer
// rows. Version makes the fuller one win whatever the order of the writes: it
// is the sum, over the record ids ever seen in the minute, of twice the greatest
// ContentHash, plus 1, plus 1 more if that row has lost. Another id, a greater
// hash of an id, and a loss can only raise it, and there is no other way in
// which a window can change.
//
// # Labels
//
// Of a profile with an outcome, values that became known later (table labels)
// stand in the place of the record's own, and how predictions compare with what
// came true is counted beside the bins. The latest label of a record counts; its
// event time, which can only grow, is in the version too.
//
// # Exemplars
//
// For each bin the four records with the smallest key are kept. The key is
// cityHash64 of the record id with the top bit telling records without a trace,
// so the choice is arbitrary but fixed by the data, and prefers records that
// can be looked at. Cells hold keys only; [Exemplars] looks the records up.
package window
