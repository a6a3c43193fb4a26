package identity

import (
	"context"
	"time"
)

// watch looks after a call that takes long: it ends when its credentials do.
type watch struct {
	holder Holder
	again  chan struct{} // somebody was revoked, of whom this may be one
}

// check makes the watch look again; it never waits.
func (w *watch) check() {
	select {
	case w.again <- struct{}{}:
	default:
	}
}

// AuthenticateStream is Authenticate for a call that takes long. The context
// that it gives ends with ctx, and before, with a fault.Unauthenticated as its
// cause, when the credentials are revoked or the API key's life ends. A token may
// end meanwhile: it was good for beginning.
func (a *Authenticator) AuthenticateStream(ctx context.Context, authorization, apiKey string) (context.Context, Identity, error) {
	now, err := a.prove(ctx, authorization, apiKey)
	if err != nil {
		return nil, Identity{}, err
	}
	if a.checks.Revocations == nil || now.identity.Kind == Anonymous {
		return ctx, now.identity, nil
	}
	w := &watch{holder: now.holder(), again: make(chan struct{}, 1)}
	a.checks.Revocations.follow(w)
	w.check() // for what was revoked between the two lines
	watched, end := context.WithCancelCause(ctx)
	go func() {
		defer a.checks.Revocations.unfollow(w)
		a.look(watched, w, now, func() (proof, error) { return a.prove(watched, authorization, apiKey) }, end)
	}()
	return watched, now.identity, nil
}

// look waits for something to happen to the credentials, until ctx ends.
func (a *Authenticator) look(ctx context.Context, w *watch, now proof, prove func() (proof, error), end context.CancelCauseFunc) {
	for {
		var life <-chan time.Time
		if !now.ends.IsZero() {
			life = time.After(time.Until(now.ends))
		}
		select {
		case <-ctx.Done():
			end(nil)
			return
		case <-life:
		case <-w.again:
			if !a.checks.Revocations.Revoked(now.holder()) {
				continue
			}
		}
		next, err := prove()
		if err != nil {
			end(err)
			return
		}
		now = next
	}
}
