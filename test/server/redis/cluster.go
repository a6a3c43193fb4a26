package redis

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/driftmesh/driftmesh/test/server"
)

// Cluster is three nodes that share the keys, and a replica of the first.
type Cluster struct {
	Nodes   []*Server
	Replica *Server
}

const slots = 16384

// StartCluster runs the four servers until the test ends. It returns when they
// are in order.
func StartCluster(t server.T) *Cluster {
	t.Helper()
	c := &Cluster{}
	bus := make([]int, 4)
	for i := range bus {
		bus[i] = server.FreePort(t)
		c.Nodes = append(c.Nodes, Start(t, Options{Config: map[string]string{
			"cluster-enabled": "yes", "cluster-config-file": "nodes.conf", "cluster-port": strconv.Itoa(bus[i]),
			"cluster-node-timeout": "2000", "cluster-allow-replica-migration": "no",
		}}))
	}
	do := func(s *Server, args ...any) string {
		client := s.Admin()
		defer client.Close()
		ctx, cancel := context.WithTimeout(context.Background(), stopping)
		defer cancel()
		out, err := client.Do(ctx, append([]any{"CLUSTER"}, args...)...).Text()
		if err != nil {
			t.Fatalf("cluster %v: %v", args, err)
		}
		return out
	}
	for i := range 3 {
		do(c.Nodes[i], "ADDSLOTSRANGE", i*slots/3, (i+1)*slots/3-1)
	}
	for i := range bus {
		do(c.Nodes[i], "SET-CONFIG-EPOCH", i+1)
	}
	for i := 1; i < 4; i++ {
		do(c.Nodes[0], "MEET", host, c.Nodes[i].port, bus[i])
	}
	first := do(c.Nodes[0], "MYID")
	c.Replica, c.Nodes = c.Nodes[3], c.Nodes[:3]
	c.Replica.Await(starting, func(ctx context.Context) error {
		client := c.Replica.Admin()
		defer client.Close()
		return client.ClusterReplicate(ctx, first).Err() // it must have heard of it
	})
	c.await()
	return c
}

// await waits until every node finds the cluster in order, with the replica.
func (c *Cluster) await() {
	for _, s := range append([]*Server{c.Replica}, c.Nodes...) {
		s.Await(starting, func(ctx context.Context) error {
			client := s.Admin()
			defer client.Close()
			info, err := client.ClusterInfo(ctx).Result()
			if err == nil && (!strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_known_nodes:4")) {
				err = errors.New("the cluster is not in order")
			}
			return err
		})
	}
	c.Replica.Await(starting, func(ctx context.Context) error {
		client := c.Replica.Admin()
		defer client.Close()
		info, err := client.InfoMap(ctx, "replication").Result()
		if err == nil && info["Replication"]["master_link_status"] != "up" {
			err = errors.New("the replica copies nothing")
		}
		return err
	})
}

// URL implements server.Broker.
func (c *Cluster) URL() string {
	addrs := make([]string, len(c.Nodes))
	for i, s := range c.Nodes {
		addrs[i] = s.Addr()
	}
	return "redis+cluster://" + strings.Join(addrs, ",")
}

// Kill kills all servers.
func (c *Cluster) Kill() {
	c.Replica.Kill()
	for _, s := range c.Nodes {
		s.Kill()
	}
}

// Restart starts all servers again.
func (c *Cluster) Restart() {
	for _, s := range append(c.Nodes, c.Replica) {
		s.Restart()
	}
	c.await()
}
