// Package receipt keeps what the doors have put on record, and holds it against
// what was settled: the half of the ledger that both services which settle
// messages share.
//
//	topic of receipts ──▶ Handle ──▶ table of receipts ─┐
//	                                                    ├─▶ Settled, Missing
//	              service's ledger of settled messages ─┘
//
// A receipt says of a lane "messages 1 to n are acknowledged, with so many items
// in them". The service's ledger has a row for every message that was settled,
// with its lane and number. What is on record and not settled is with the
// broker, or lost:
//
//  1. read what is on record; every message of it was with the broker by then;
//  2. count what is pending with the broker: in the topic, then in its retry
//     topic, to which messages move from it;
//  3. read what is settled.
//
// A message of step 1 that is not lost is pending in step 2 or settled in step
// 3, whatever traffic there is in between. So where more are unsettled than
// pending, the difference is lost for certain, and where nothing is pending all
// that is unsettled is lost. What a lane has above its receipt was never
// acknowledged to anybody: it counts as accepted once it is settled, and can not
// make up for a loss.
//
// Both tables are cut at the first whole day that the service keeps, so that
// what is forgotten is forgotten on both sides.
package receipt
