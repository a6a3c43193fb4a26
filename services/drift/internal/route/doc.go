// Package route carries alert events to people: a file for each kind of service
// that takes them, all behind the one face Route, and the rules by which an
// event finds its routes.
//
// A route says whether an event has arrived, will never arrive, or may arrive
// later, and keeps nothing: what waits, is tried again and was told is the
// business of package notify. It may be called again with an event that has
// arrived, so each gives its service a key by which the service knows it again.
//
//	kind          the alert's key         the event's key      what closes it
//	slack         –                       –                    a message
//	pagerduty     dedup_key = alert id    –                    resolve
//	opsgenie      alias = alert id        –                    close
//	alertmanager  label alert_id          –                    endsAt
//	webhook       alert_id                webhook-id           change "resolved"
//	email         References              Message-ID           a message
//	console       alert                   event                a line
package route
