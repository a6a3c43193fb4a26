package main

import (
	"context"
	"io"
	"time"

	topicv1 "github.com/driftmesh/driftmesh/proto/driftmesh/topic/v1"
)

type topicsCmd struct {
	Lag topicsLagCmd `cmd:"" help:"Show how far the readers of each topic are behind."`

	AsyncAPI topicsAsyncAPICmd `cmd:"" name:"asyncapi" help:"Print the AsyncAPI document of all topics."`
}

type topicsLagCmd struct{ clientFlags }

// Run shows the lag of every group.
func (c topicsLagCmd) Run(ctx context.Context, con console) error {
	return call(ctx, con, c.clientFlags, topicv1.NewTopicServiceClient, topicv1.TopicServiceClient.ListTopics,
		&topicv1.ListTopicsRequest{}, func(w io.Writer, r *topicv1.ListTopicsResponse) {
			row(w, "TOPIC", "GROUP", "PENDING", "+ IN FLIGHT", "= LAG", "OLDEST")
			for _, t := range r.GetTopics() {
				for _, g := range t.GetGroups() {
					if !g.GetKnown() {
						row(w, t.GetName(), g.GetGroup(), "?", "?", "?", g.GetProblem())
						continue
					}
					oldest := "-"
					if g.GetOldestAge() != nil {
						oldest = g.GetOldestAge().AsDuration().Round(time.Millisecond).String()
					}
					row(w, t.GetName(), g.GetGroup(), g.GetPending(), g.GetInFlight(), g.GetTotal(), oldest)
				}
			}
		})
}
