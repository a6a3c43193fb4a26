// Package notify sees that news reach people. It has two halves, with the SQL
// state between them:
//
//	topic alerts ──▶ Dispatcher ──▶ a delivery for each route (SQL) ──▶ Courier of the route ──▶ people
//
// The Dispatcher chooses the routes of an event and writes a delivery for each,
// before the message is acknowledged. Each route has a Courier, which claims one
// delivery at a time by a lease, sends it and writes down what became of it. So a
// route that is away holds up its own deliveries and nothing else, what waits
// survives any death, and many processes share the work.
//
// A delivery is sent at least once: whoever dies between sending and writing
// leaves it claimed, and it is sent again when the lease is over, with the same
// keys. Of one alert a route hears in order: a delivery waits for those with lower
// numbers, and if one of those comes after all that is left, it is not sent.
//
// Failures that may pass are tried again after a back-off with jitter, and not
// before the service allows it; each also pauses the whole route, for longer from
// one to the next, so that a service in trouble is asked now and then and not once
// for each delivery. When it is back, what waits goes at full speed, the tenants in
// turn. What never can arrive is failed at once; what has waited for Keep, then.
package notify
