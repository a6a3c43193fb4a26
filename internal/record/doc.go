// Package record holds the rules for records from outside, whichever way they
// come in: through the gateway's door, or published past it to the topic inbox.
//
//	Sieve     checks a batch against the profiles it names, refuses the bad
//	          records by themselves with field and rule, and makes the good ones
//	          whole: id, event time, the profile's uid
//	Cache     what profiles say, remembered for a short while
//	Cut       encodes good records as the values of messages
//
// The package publishes nothing and keeps no accounts; that is the door's.
package record
