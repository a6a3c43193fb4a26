// Package profile makes a drift profile from reference data: it chooses bins,
// counts the reference in them, and says into which of them later values fall, and
// by what monitors they are compared. It is pure: no clock, no network, no files but what it is given to
// read and to spill to, and only the standard library. Everything in it gives the same digits
// for the same multiset of values, whatever their order.
//
// # From data to a profile
//
// Data arrive as [Column] values: from [ReadCSV], from another reader (a
// Parquet reader needs a dependency and so lives elsewhere), or made by hand.
// [New] turns columns into a [Profile], a [Builder] does so with one column in
// memory at a time; [CSV] gives them so. Numbers (int and float columns) are
// binned by a [Binning] rule; strings and bools are categories, one bin for
// each distinct value.
//
// # Bins
//
// A numeric feature with edges e1 ≤ … ≤ ek has k+1 regular bins, numbered 1 to
// k+1: (-inf, e1], (e1, e2], …, (ek, +inf). A value v belongs to the bin with
// lower < v ≤ upper, so a bin between two equal edges stays empty. A category
// feature has one regular bin for each distinct reference string, numbered from
// 0 in ascending byte order.
//
// Under the default binning, deciles, no bin is empty in the reference, however
// its values repeat: a numeric feature with at most 20 distinct values has a bin
// for each, whose upper edge is the value, and of the deciles of any other those
// are edges that have values on both sides. Only a constant has an empty bin on
// either side of its own.
//
// After the regular bins come five special ones, always in this order:
// [Missing], [NaN], [PosInf], [NegInf], [Other]. They count what a regular bin
// cannot hold: no value, not-a-number, the infinities, and a category unknown
// to the reference. Every array of counts in the system has len(Bins)+5
// elements in this order; see [Feature.Cells].
//
// # Monitors
//
// What is judged stands in a profile's [Monitor] values: each names a detector,
// the features it watches, a [Threshold], and who hears. The significance of all
// of them together is kept by a [Correction]. Schedule, correction and monitors
// are no part of the reference; they may be given to [New] or set later, before
// the profile is registered.
//
// # JSON
//
// A profile has a JSON form (see [Profile]); field names follow the Scouter PSI
// profile where the meaning is the same: space, name, version, uid, features, id,
// bins, lower_limit, upper_limit, proportion, bin_type, binning_strategy. It
// differs in that features are an array (their order is the order of values in
// stored records), bins also carry counts and category text, there is a list of
// monitors, and a format number. Format 1, which had one threshold for all
// features, is read as a profile with one monitor.
package profile
