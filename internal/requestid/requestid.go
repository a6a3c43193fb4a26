// Package requestid names requests: the caller, the logs, the spans and the errors
// that speak of one request have a name for it in common, which it keeps on its way
// from service to service.
package requestid

import (
	"context"
	"crypto/rand"
)

// Header carries the name, over HTTP and gRPC.
const Header = "x-request-id"

// Attribute is its name on a span.
const Attribute = "driftmesh.request.id"

// maxSize bounds what a caller may choose: it is repeated in logs.
const maxSize = 128

type key struct{}

// Of is the name of a request: what its caller sent, if that is a name, and else
// one of our own. A name is of letters, digits and - _ . : / + = @, so that it can
// stand in a log, a header and a terminal as it is.
func Of(sent string) string {
	if good(sent) {
		return sent
	}
	return rand.Text()
}

func good(sent string) bool {
	if sent == "" || len(sent) > maxSize {
		return false
	}
	for i := range len(sent) {
		switch c := sent[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '_', c == '.', c == ':', c == '/', c == '+', c == '=', c == '@':
		default:
			return false
		}
	}
	return true
}

// With notes the name of the request that a context is of.
func With(ctx context.Context, id string) context.Context { return context.WithValue(ctx, key{}, id) }

// From is the name of the request that a context is of, "" when it is of none.
func From(ctx context.Context) string {
	id, _ := ctx.Value(key{}).(string)
	return id
}
