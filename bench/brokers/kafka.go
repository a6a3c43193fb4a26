package main

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
)

// kafkaSide publishes with one writer, a batch to one partition, which fills a
// request; it consumes with the library's consumer group and a reader for each
// partition, and commits the end of a batch.
type kafkaSide struct {
	brokers   []string
	topic     string
	batch     int
	transport *kafka.Transport
	writer    *kafka.Writer
	turn      atomic.Int64
}

func kafkaTopic(topic string) string { return "driftmesh." + topic }

func kafkaBrokers(raw string) ([]string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, err
	}
	return strings.Split(u.Host, ","), nil
}

func openKafka(_ context.Context, url, topic string, batch int) (side, error) {
	brokers, err := kafkaBrokers(url)
	if err != nil {
		return nil, err
	}
	s := &kafkaSide{brokers: brokers, topic: kafkaTopic(topic), batch: batch, transport: &kafka.Transport{}}
	s.writer = &kafka.Writer{
		Addr: kafka.TCP(brokers...), Topic: s.topic, Transport: s.transport,
		Balancer: kafka.BalancerFunc(func(m kafka.Message, partitions ...int) int {
			turn, _ := m.WriterData.(int64)
			return partitions[int(turn)%len(partitions)]
		}),
		RequiredAcks: kafka.RequireAll, BatchSize: batch, BatchBytes: 8 << 20, BatchTimeout: 5 * time.Millisecond,
	}
	return s, nil
}

func (s *kafkaSide) sender() (func(context.Context, []item) error, error) {
	msgs := make([]kafka.Message, s.batch)
	return func(ctx context.Context, items []item) error {
		turn := s.turn.Add(1)
		for i, it := range items {
			msgs[i] = kafka.Message{
				Value: it.payload, WriterData: turn,
				Headers: []kafka.Header{{Key: traceHeader, Value: []byte(traceParent)}, {Key: "driftmesh-x-id", Value: []byte(it.id)}},
			}
		}
		return s.writer.WriteMessages(ctx, msgs[:len(items)]...)
	}, nil
}

// kafkaBatch is what one partition brought, or why it brings nothing.
type kafkaBatch struct {
	batch
	err error
}

type kafkaReceiver struct {
	group   *kafka.ConsumerGroup
	batches chan kafkaBatch
	ctx     context.Context //nolint:containedctx // of the readers, until close
	cancel  context.CancelFunc
	readers sync.WaitGroup
}

func (s *kafkaSide) receiver(ctx context.Context) (receiver, error) {
	g, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: s.topic + ".bare", Brokers: s.brokers, Topics: []string{s.topic}, StartOffset: kafka.FirstOffset,
	})
	if err != nil {
		return nil, err
	}
	gen, err := g.Next(ctx)
	if err != nil {
		return nil, errors.Join(err, g.Close())
	}
	r := &kafkaReceiver{group: g, batches: make(chan kafkaBatch)}
	r.ctx, r.cancel = context.WithCancel(ctx)
	for _, p := range gen.Assignments[s.topic] {
		r.readers.Add(1)
		gen.Start(func(context.Context) {
			defer r.readers.Done()
			r.read(s, gen, p)
		})
	}
	return r, nil
}

// read hands over the batches of one partition.
func (r *kafkaReceiver) read(s *kafkaSide, gen *kafka.Generation, p kafka.PartitionAssignment) {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: s.brokers, Topic: s.topic, Partition: p.ID, MinBytes: 1, MaxBytes: 8 << 20,
		MaxWait: 500 * time.Millisecond, QueueCapacity: s.batch, ReadLagInterval: -1,
	})
	defer reader.Close()
	if err := reader.SetOffset(p.Offset); err != nil {
		r.hand(kafkaBatch{err: err})
		return
	}
	for {
		var b kafkaBatch
		var next int64
		for b.n < s.batch {
			m, err := reader.FetchMessage(r.ctx)
			if err != nil {
				r.hand(kafkaBatch{err: err})
				return
			}
			b.batch.read(len(m.Value), kafkaTrace(m.Headers))
			next = m.Offset + 1
		}
		b.ack = func(context.Context) error {
			return gen.CommitOffsets(map[string]map[int]int64{s.topic: {p.ID: next}})
		}
		if !r.hand(b) {
			return
		}
	}
}

func kafkaTrace(headers []kafka.Header) string {
	for _, h := range headers {
		if h.Key == traceHeader {
			return string(h.Value)
		}
	}
	return ""
}

// hand returns false when nobody wants more.
func (r *kafkaReceiver) hand(b kafkaBatch) bool {
	select {
	case r.batches <- b:
		return true
	case <-r.ctx.Done():
		return false
	}
}

func (r *kafkaReceiver) receive(ctx context.Context, _ int) (batch, error) {
	select {
	case b := <-r.batches:
		return b.batch, b.err
	case <-ctx.Done():
		return batch{}, context.Cause(ctx)
	}
}

func (r *kafkaReceiver) close() {
	r.cancel()
	r.readers.Wait()
	_ = r.group.Close()
}

func (s *kafkaSide) close() {
	_ = s.writer.Close()
	s.transport.CloseIdleConnections()
}

func removeKafka(ctx context.Context, url, topic string) error {
	brokers, err := kafkaBrokers(url)
	if err != nil {
		return err
	}
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(brokers...), Transport: transport}
	res, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{kafkaTopic(topic)}})
	if err != nil {
		return err
	}
	return res.Errors[kafkaTopic(topic)]
}
