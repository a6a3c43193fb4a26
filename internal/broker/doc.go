// Package broker is the one contract between the mesh and its message brokers,
// with what is the same for all of them on the way in: validation, publish
// instrumentation, provisioning, lag. What is the same on the way out, how a
// worker handles what it receives, is package runner. What differs lives in
// driver/{nats,memory,…}; driver.Open chooses by URL.
//
// # Vocabulary
//
// A topic is a log of messages. A group is a named set of workers that share
// one cursor over a topic: each message goes to one worker of each group. A
// delivery is one message handed to one worker; to settle it is to acknowledge
// it (done) or to give it back (retry). To park a message is to publish it to
// "<topic>.dlq" with the reason in headers, wait until that is durable, and
// acknowledge the original. To set one aside is the same with "<topic>.retry",
// where it waits for a neighbour.
//
// # What every driver promises
//
//  1. Publish returns nil only when every message is durable, as Capabilities
//     describes durable. Otherwise it returns a *PublishError.
//  2. Validation covers the whole slice before anything is sent and marks only
//     the bad indexes; good neighbours are still published.
//  3. Slices passed to Publish are read-only for the driver, which holds no
//     reference to them once Publish has returned, whatever the error.
//  4. While the broker is away, Publish fails with ErrUnavailable at once, and
//     never blocks longer than its context or the driver's publish timeout.
//     Connections come back by themselves, for ever, with back-off.
//  5. A received slice is valid and read-only until its batch is settled; copy
//     what must live longer.
//  6. Every message published after EnsureGroup returned is delivered to that
//     group at least once until a worker acknowledges it or retention removes
//     it; what retention removes unread is counted and logged.
//  7. A nil error from Batch.Ack means the broker has heard it, and will not
//     deliver those messages to the group again however this process ends. A
//     broker that crashes may forget what it heard in its last moments.
//  8. After a lease is lost, Ack, Settle and Extend return ErrLeaseLost and
//     change nothing: they never touch a message of another lease.
//  9. Cancelling the context of Receive loses nothing: what was fetched and not
//     returned goes to the next Receive or back to the group.
//  10. Every method is safe for concurrent use except where said. Close with a
//     done context still releases local resources.
//  11. What somebody deletes on the broker is told by Admin.Check, and made anew
//     by EnsureTopic and EnsureGroup: publishers and consumers that were open go
//     on, and of what is acknowledged after that nothing is lost.
package broker
