package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/driftmesh/driftmesh/test/server"
)

// Watched is a primary and its replica, and three sentinels who make the one take
// over from the other.
type Watched struct {
	Primary, Replica *Server
	Sentinels        []*Server
}

// watchedName is what the sentinels call the primary.
const watchedName = "mesh"

// StartWatched runs the five servers until the test ends. It returns when the
// sentinels know one another and the replica.
func StartWatched(t server.T) *Watched {
	t.Helper()
	w := &Watched{Primary: Start(t, Options{})}
	w.Replica = Start(t, Options{Config: map[string]string{"replicaof": fmt.Sprintf("%s %d", host, w.Primary.port)}})
	for range 3 {
		w.Sentinels = append(w.Sentinels, Start(t, Options{sentinel: true, Config: map[string]string{"sentinel": strings.Join([]string{
			fmt.Sprintf("monitor %s %s %d 2", watchedName, host, w.Primary.port),
			fmt.Sprintf("down-after-milliseconds %s 1000", watchedName),
			fmt.Sprintf("failover-timeout %s 5000", watchedName),
		}, "\n")}}))
	}
	for _, s := range w.Sentinels {
		s.Await(starting, func(ctx context.Context) error {
			client := s.Admin()
			defer client.Close()
			cmd := goredis.NewMapStringStringCmd(ctx, "SENTINEL", "MASTER", watchedName)
			if err := client.Process(ctx, cmd); err != nil {
				return err
			}
			if m := cmd.Val(); m["num-slaves"] != "1" || m["num-other-sentinels"] != "2" {
				return errors.New("the sentinels have not found everybody")
			}
			return nil
		})
	}
	return w
}

// URL implements server.Broker.
func (w *Watched) URL() string {
	addrs := make([]string, len(w.Sentinels))
	for i, s := range w.Sentinels {
		addrs[i] = s.Addr()
	}
	return "redis+sentinel://" + strings.Join(addrs, ",") + "/" + watchedName
}

// Kill kills primary and replica, so that nobody takes over.
func (w *Watched) Kill() {
	w.Replica.Kill()
	w.Primary.Kill()
}

// Restart starts primary and replica as they were.
func (w *Watched) Restart() {
	w.Primary.Restart()
	w.Replica.Restart()
}
