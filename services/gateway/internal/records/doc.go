// Package records is the door for records: it checks each one against the
// profile it names, refuses the bad ones by themselves with field and rule, and
// publishes the good ones. It answers only when the broker has them durably.
//
//	checker    the rules, pure: one record, its profile, a clock reading
//	Profiles   what profiles say, remembered for a short while
//	Service    the three calls: one batch, many batches and one summary, many
//	           batches and an acknowledgement of each
//
// Whoever is full or misses a neighbour says so with UNAVAILABLE and a retry
// hint; nothing of such a call counts as arrived unless the broker has it.
package records
