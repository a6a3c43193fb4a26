// Package stat has the distributions that drift detectors need: upper tails
// that keep their digits however small they are, their quantiles, corrections
// for many tests, and draws for conditional Monte Carlo. It is pure, and its
// functions answer a number between 0 and 1 for every finite argument.
//
// Tails are inclusive, P(X ≥ x), and upper unless the name says Lower. The
// incomplete gamma functions and the normal quantile are gonum's, checked here
// to 1e-12 and better. Its incomplete beta function is not used: it takes the
// difference of log-gammas, so Student's tail is off by 2e-10 at 1e6 degrees of
// freedom and by a factor of 37 at 1e15. Nor are distuv's Survival methods of
// the normal, F, binomial and Poisson distributions, which subtract from 1: the
// normal one is 0 from z = 9.
package stat
