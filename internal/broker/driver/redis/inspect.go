package redis

import (
	"context"
	"fmt"
	"maps"
)

// inspect asks the server how durable it is, where we may.
func (c *conn) inspect(ctx context.Context) {
	words := "acked = in the memory of the server; whether it is on disk is not known: CONFIG GET is not allowed"
	set := map[string]string{}
	var err error
	for _, name := range []string{"appendonly", "appendfsync", "maxmemory-policy"} {
		var one map[string]string
		if one, err = c.pub.ConfigGet(ctx, name).Result(); err != nil {
			break
		}
		maps.Copy(set, one)
	}
	if err == nil {
		words = durability(set["appendonly"], set["appendfsync"])
		if p := set["maxmemory-policy"]; p != "" && p != "noeviction" {
			c.cfg.Log.Warn("broker may evict whole topics when its memory is full; set maxmemory-policy to noeviction", "policy", p)
		}
		if set["appendonly"] == "no" {
			c.cfg.Log.Warn("broker keeps messages in memory only; set appendonly to yes")
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.durability = words
}

// durability says what an acknowledged message survives.
func durability(appendOnly, fsync string) string {
	const failover = "; replicas hear of it afterwards, so that a failover may lose the last messages"
	if appendOnly != "yes" {
		return "acked = in the memory of the server only; it is lost when that ends" + failover
	}
	when := map[string]string{
		"always":   "acked = on disk",
		"everysec": "acked = in the server's log, which is on disk within about a second: killing the server loses nothing, a power failure that second",
		"no":       "acked = in the server's log, which is on disk when the system writes it",
	}[fsync]
	if when == "" {
		when = "acked = in the server's log"
	}
	return fmt.Sprintf("%s (appendfsync %s)%s", when, fsync, failover)
}
