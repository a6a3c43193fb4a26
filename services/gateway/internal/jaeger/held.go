package jaeger

import (
	"io"
	"net/http"
)

// holdBack is how much of an answer is held back. Most are smaller.
const holdBack = 1 << 20

// held holds back the beginning of an answer, so that what goes wrong becomes
// an error with a status of its own and not a good answer with a part of what
// was asked for. When it goes wrong later than that, the connection breaks.
type held struct {
	w    http.ResponseWriter
	b    []byte
	sent bool
}

// Write implements io.Writer.
func (a *held) Write(p []byte) (int, error) {
	if !a.sent && len(a.b)+len(p) <= holdBack {
		a.b = append(a.b, p...)
		return len(p), nil
	}
	a.send()
	return a.w.Write(p)
}

// send sends what was held back.
func (a *held) send() {
	if a.sent {
		return
	}
	a.sent = true
	a.w.Header().Set("Content-Type", "application/json")
	_, _ = a.w.Write(a.b) // the caller went away: nobody is left to tell
	a.b = nil
}

// breakOff returns while the answer can still become another one. Otherwise it
// breaks the connection, which is how a caller learns that the rest is missing.
func (a *held) breakOff() {
	if a.sent {
		panic(http.ErrAbortHandler) //nolint:forbidigo // net/http's way to break off an answer
	}
}

var _ io.Writer = (*held)(nil)
