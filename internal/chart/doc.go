// Package chart is the arithmetic of control charts: limits from a reference,
// rules on standardised points (Western Electric's, Nelson's, and Scouter's to
// the digit), EWMA, CUSUM and Page–Hinkley, and the run lengths that tell how
// often they alarm when nothing has changed. It is pure.
//
// A point is NaN where a window is missing: it neither signals nor breaks a
// pattern nor counts in one.
package chart
