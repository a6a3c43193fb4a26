// Package quota is what one tenant may use, and what it does use in this process.
//
// auth keeps the limits: defaults, which are settings, and what a tenant has of
// its own. Every service that keeps to them has a Book, which hears of changes as
// they happen (Book.Follow), and in it a Tenant, on which callers' use is counted:
// a rate in a Bucket, what is held in a Share of a Pool, who waits in Turns.
//
// Limits hold for each process: two gateways let twice as much in. What is over a
// limit is a fault.Exhausted that names the limit, its value and, where waiting
// helps, for how long.
package quota
