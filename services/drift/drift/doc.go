// Package drift is the service that holds what models learned against what they
// meet.
//
//	consumes  topic windows (group drift): which minutes of which profiles have new rows
//	          topic alerts (group drift-notifier): what people must hear
//	produces  topic alerts
//	calls     auth: WatchLimits; trace-store: LinkTraces, GetTrace
//	owns      profiles, schedules, alert state (SQL schema drift); tables cells, monitor_scores, check_results;
//	          reads observations, contexts and spans
//
// The way from rows to people:
//
//	windows ──▶ waiting windows ──▶ recomputed in ClickHouse ──▶ cells
//	              (SQL)                                            │ added up over a range
//	schedule ──▶ slot, claimed by a lease ──▶ evaluation ──▶ scores ──▶ alert state + outbox (one transaction)
//	                                                                        │
//	   people ◀── routes ◀── deliveries (SQL) ◀── dispatcher ◀── topic alerts ◀── published
//
// A touched window is written down in SQL before its message is acknowledged
// and recomputed a moment later, so that a busy minute is not read once per
// batch. Whoever needs exact cells sooner, an evaluation, recomputes what waits
// first. Every step may be done twice or by several workers at once: cells are
// computed whole and know which of them has seen more (package window), scores
// are keyed by profile, slot, monitor and feature, verdicts on a slot count once
// (package alert), and news carry ids.
package drift
