// Package detect judges whether a sample differs from a reference. It is pure:
// no clock, no I/O, no state. The same input, seed included, gives the same
// digits whatever the order of the categories (to the last bits of a sum).
//
// A detector is one file with its definition and its source; [All] lists them.
// Each is held to values of SciPy and statsmodels in testdata, and those with a
// p-value to their false-alarm rate by simulation (calibration_test.go).
//
// States such as missing or NaN are no cells: detectors of shares leave them
// out, and others judge them by their own share. See [Side].
package detect
