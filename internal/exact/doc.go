// Package exact sums float64s without rounding, so that a sum depends neither
// on the order of its values nor on how they were split or merged.
//
// A finite float64 is ±m·2^e with m < 2^53 and e ≥ −1074. A Sum keeps the sum
// of such numbers, or of products of up to four of them, as an integer in units
// of 2^−1074 per factor, in digits of 32 bits with room for carries (the small
// superaccumulator of R. M. Neal, Fast exact summation using small and large
// superaccumulators, arXiv:1505.05571, 2015). It is rounded once, when it is
// read, to nearest even: the same as Python's math.fsum. Moments keeps the
// count and the sums of powers of a sample and centres them in integers:
// 1e9 + {4, 7, 13, 16} has a variance of 30 exactly.
//
// Buckets makes sums that a database adds up: a value falls into the bucket of its
// exponent e+1074 divided by 32, a bucket is summed in wide integers, and AddBucket
// takes what comes out.
package exact
