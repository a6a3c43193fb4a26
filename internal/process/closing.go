package process

import (
	"context"
	"errors"
	"time"
)

// closingTimeout bounds the closing of one dependency.
const closingTimeout = 5 * time.Second

// Closing closes a dependency and adds its error to err; it is meant to be
// deferred. ctx may have ended.
func Closing(ctx context.Context, err *error, closes func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingTimeout)
	defer cancel()
	*err = errors.Join(*err, closes(ctx))
}

// UnlessStopped is err, or nil when it comes of ctx having ended: a stop is no
// failure.
func UnlessStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // as said
	}
	return err
}
