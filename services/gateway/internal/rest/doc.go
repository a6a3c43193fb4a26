// Package rest is the gateway's HTTP side:
//
//	/api/v1/…               the public gRPC methods as JSON, from proto/rest.yaml
//	/api/v1/tail/events     the live tail as server-sent events
//	/jaeger/api/…           Jaeger's query API (package jaeger)
//	/login/…                logins with a browser, whose cookies are credentials here
//	/openapi.json           what there is under /api/v1
//	/.well-known/jwks.json  the keys that tokens are checked with
//	/                       a page that says all this
//
// The JSON routes call the gateway's own gRPC server inside the process, with
// the caller's credentials, so that authentication, limits and errors are the
// same on both; nothing is decided here twice. An error is
//
//	{"code": "INVALID_ARGUMENT", "message": "…", "reason": "…", "details": […]}
//
// with the HTTP status that belongs to the code, and Retry-After where trying
// again makes sense, on every route. Streams are one JSON object a line: {"result": …},
// and {"error": …} last if the stream broke after it began. A parameter that a route does
// not take is an error, as an unknown field of a body is.
package rest
