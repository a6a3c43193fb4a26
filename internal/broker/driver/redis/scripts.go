package redis

import (
	"context"
	_ "embed" // of the scripts
	"fmt"

	goredis "github.com/redis/go-redis/v9"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// The scripts that the server runs, each as one step that nobody interrupts.
var (
	//go:embed lua/common.lua
	common string
	//go:embed lua/settle.lua
	settleSource string
	//go:embed lua/take.lua
	takeSource string
	//go:embed lua/leave.lua
	leaveSource string
	//go:embed lua/look.lua
	lookSource string
	//go:embed lua/topic.lua
	topicSource string
	//go:embed lua/group.lua
	groupSource string
	//go:embed lua/count.lua
	countSource string
	//go:embed lua/recount.lua
	recountSource string
	//go:embed lua/lag.lua
	lagSource string
	//go:embed lua/last.lua
	lastSource string

	settleScript  = goredis.NewScript(common + settleSource)
	takeScript    = goredis.NewScript(common + takeSource)
	leaveScript   = goredis.NewScript(common + leaveSource)
	lookScript    = goredis.NewScript(common + lookSource)
	topicScript   = goredis.NewScript(common + topicSource)
	groupScript   = goredis.NewScript(common + groupSource)
	countScript   = goredis.NewScript(common + countSource)
	recountScript = goredis.NewScript(common + recountSource)
	lagScript     = goredis.NewScript(common + lagSource)
	lastScript    = goredis.NewScript(common + lastSource)
)

// run runs a script on the keys of a topic. Its errors have their class.
func (c *conn) run(ctx context.Context, s *goredis.Script, topic string, args ...any) (any, error) {
	if err := c.link.gone(); err != nil {
		return nil, err
	}
	out, err := s.Run(ctx, c.pub, c.keys(topic), args...).Result()
	if err != nil {
		return nil, c.link.observe(err)
	}
	return out, nil
}

// list runs a script that answers with n values or more.
func (c *conn) list(ctx context.Context, n int, s *goredis.Script, topic string, args ...any) ([]any, error) {
	out, err := c.run(ctx, s, topic, args...)
	if err != nil {
		return nil, err
	}
	values, ok := out.([]any)
	if !ok || len(values) < n {
		return nil, fmt.Errorf("%w: unreadable answer of a script", broker.ErrUnavailable)
	}
	return values, nil
}

// integer and text read a value of an answer; what is not one is zero.
func integer(v any) int64 {
	n, _ := v.(int64)
	return n
}

func text(v any) string {
	s, _ := v.(string)
	return s
}
