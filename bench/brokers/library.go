package main

import "context"

// library is a bare client library, used as well as it can be with the same
// promises: acknowledged when durable, delivered until acknowledged.
type library struct {
	open   func(ctx context.Context, url, topic string, batch int) (side, error)
	remove func(ctx context.Context, url, topic string) error
}

var libraries = map[string]library{
	"nats":     {openNATS, removeNATS},
	"kafka":    {openKafka, removeKafka},
	"rabbitmq": {openRabbitMQ, removeRabbitMQ},
	"redis":    {openRedis, removeRedis},
}
