package rabbitmq_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker/driver/rabbitmq"
	"github.com/driftmesh/driftmesh/internal/broker/source"
	"github.com/driftmesh/driftmesh/internal/broker/sourcetest"
	rabbitserver "github.com/driftmesh/driftmesh/test/server/rabbitmq"
)

// A queue as the published client declares it, and one as its next release does.
func TestSource(t *testing.T) {
	t.Parallel()
	s := rabbitserver.Start(t, rabbitserver.Options{})
	for _, durable := range []bool{false, true} {
		t.Run(fmt.Sprint("durable ", durable), func(t *testing.T) {
			declare := func(ch *amqp.Channel) (amqp.Queue, error) {
				return ch.QueueDeclare(sourcetest.Queue, durable, false, false, false, nil)
			}
			on := func(tb testing.TB, do func(ch *amqp.Channel)) {
				conn, err := amqp.Dial(s.URL())
				require.NoError(tb, err)
				defer conn.Close()
				ch, err := conn.Channel()
				require.NoError(tb, err)
				do(ch)
			}
			on(t, func(ch *amqp.Channel) {
				_, err := ch.QueueDelete(sourcetest.Queue, false, false, false)
				require.NoError(t, err)
			})
			except := sourcetest.Except{
				"EachToAll":   "a message of a queue goes to one of its workers",
				"GapsAreTold": "a queue keeps its messages",
			}
			if durable {
				except["ServerGone"] = "tried with the queue that goes with its server"
			}
			sourcetest.Run(t, sourcetest.Harness{
				Server: s,
				Open: func(ctx context.Context, url string, how source.Config) (source.Source, error) {
					return rabbitmq.OpenSource(ctx, rabbitmq.Config{URL: url}, how)
				},
				Make: func(tb testing.TB) {
					on(tb, func(ch *amqp.Channel) {
						_, err := declare(ch)
						require.NoError(tb, err)
					})
				},
				Publish: func(tb testing.TB, values ...string) {
					on(tb, func(ch *amqp.Channel) {
						require.NoError(tb, ch.Confirm(false))
						ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // a server that is short of something confirms nothing
						defer cancel()
						for _, v := range values {
							sent, err := ch.PublishWithDeferredConfirmWithContext(ctx, "", sourcetest.Queue, false, false,
								amqp.Publishing{Body: []byte(v), Headers: amqp.Table{sourcetest.Header[0]: sourcetest.Header[1]}})
							require.NoError(tb, err)
							confirmed, err := sent.WaitContext(ctx)
							require.NoError(tb, err)
							require.True(tb, confirmed)
						}
					})
				},
				State: func(tb testing.TB) (state string) {
					on(tb, func(ch *amqp.Channel) {
						q, err := declare(ch) // who comes with other arguments is refused
						require.NoError(tb, err)
						state = fmt.Sprint(q.Messages)
					})
					return state
				},
			}, except)
		})
	}
}
