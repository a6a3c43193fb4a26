package redis

import (
	"context"
	"fmt"
	"maps"
)

// inspect asks the server how durable it is, where we may.
func (c *conn) inspect(ctx context.Context) {
	if c.target.foreign { // how its owner keeps it is not our business
		return
	}
	words, warning := "acked = in the memory of the server; whether it is on disk is not known: CONFIG GET is not allowed", ""
	set := map[string]string{}
	var err error
	for _, name := range []string{"appendonly", "appendfsync", "maxmemory-policy", "maxmemory"} {
		var one map[string]string
		if one, err = c.pub.ConfigGet(ctx, name).Result(); err != nil {
			break
		}
		maps.Copy(set, one)
	}
	if err == nil {
		words, warning = durability(set["appendonly"], set["appendfsync"])
	}
	if n := c.target.wait; n > 0 {
		words += fmt.Sprintf("; and in the memory of %d replica(s) before it is acknowledged", n)
	} else {
		words += "; replicas hear of it afterwards, so that a failover may lose the last messages"
	}
	c.mu.Lock()
	known := c.durability == words
	c.durability = words
	c.mu.Unlock()
	if known {
		return
	}
	if warning != "" {
		c.cfg.Log.Warn(warning)
	}
	if p := set["maxmemory-policy"]; p != "" && p != "noeviction" {
		c.cfg.Log.Warn("broker may evict whole topics when its memory is full; set maxmemory-policy to noeviction", "policy", p)
	}
	if set["maxmemory"] == "0" {
		c.cfg.Log.Warn("nothing bounds the broker's memory while no process of the mesh runs; set maxmemory")
	}
}

// durability says what an acknowledged message survives, and what is to be
// warned of.
func durability(appendOnly, fsync string) (words, warning string) {
	switch {
	case appendOnly != "yes":
		words = "acked = in the memory of the server only: it is lost when that ends"
		warning = "broker keeps messages in memory only; set appendonly to yes"
	case fsync == "always":
		words = "acked = on disk (appendfsync always)"
	case fsync == "no":
		words = "acked = with the operating system (appendfsync no): a power failure loses what that had not written"
	default:
		// While the disk is busy with the fsync of the last second, the server
		// keeps its log in its own memory, for up to two seconds, and answers.
		words = "acked = in the memory of the server, on disk a second later, or two when the disk is busy (appendfsync " +
			fsync + "): killing the server may lose those"
		warning = "broker may lose the last acknowledged messages when it is killed; set appendfsync to always"
	}
	return words, warning
}
