package nats

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/sdk"
)

// Errors of JetStream come from the server, with a code, or from the library, without.
func TestErrorsWithAndWithoutACode(t *testing.T) {
	t.Parallel()
	p := &publisher{}
	for _, c := range []struct {
		err        error
		full, ever bool
	}{
		{jetstream.ErrAsyncPublishTimeout, false, true},
		{jetstream.ErrConnectionClosed, false, true},
		{&jetstream.APIError{ErrorCode: 10077}, true, true},
		{&jetstream.APIError{ErrorCode: jetstream.JSErrCodeStreamMessageExceedsMaximum}, false, false},
	} {
		err := p.failed(c.err)
		told, _ := errors.AsType[*sdk.TransportError](err)
		require.Equal(t, c.full, told != nil && told.RetryAfter > 0, "%v", err)
		require.Equal(t, c.ever, told == nil || !told.Permanent, "%v", err)
		require.ErrorContains(t, err, c.err.Error())
	}
}
