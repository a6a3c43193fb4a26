// Package normalize turns the records of a message into rows: values in the
// order of the profile's features, with missing, NaN and the infinities kept
// apart, and a hash of the content. It is pure: no clock, no I/O, and the same
// message gives the same rows for ever, which is what makes a redelivery
// harmless.
//
// It trusts nobody. A record that breaks a rule is rejected by itself with a
// Reason, and its neighbours stay; only a message that is no list of records
// at all is refused whole. So records that came through the door and records
// whose producers bypass it go through the same code.
//
// A record without an event time has that of its message, to the millisecond. It is
// not part of its content: sent again, at another time, it is the same record, and
// stays where it was first.
//
// # How values are kept
//
//	profile says  record says          kept as
//	number        int, float           float64; an int beyond 2^53 is rounded to the nearest float64
//	number        NaN, +Inf, -Inf      itself, with a state of its own; all NaNs are one
//	category      string               its text
//	category      bool                 "true" or "false"
//	category      int                  decimal text
//	any           missing, not named   state missing
//
// A profile that says what type its reference column had takes only that type,
// except that an int is also a float.
package normalize
