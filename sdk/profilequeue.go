package sdk

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

var (
	// ErrNoClient is returned where the default client is needed and Init has made
	// none.
	ErrNoClient = errors.New("there is no default driftmesh client: sdk.Init makes it")
	// ErrNoAlias is returned for an alias that the queue was not opened with.
	ErrNoAlias = errors.New("the queue has no such alias")
	// ErrNoQueue is returned by Span.Insert before a queue was opened.
	ErrNoQueue = errors.New("no queue is open: sdk.OpenQueue opens it")
)

// Queue takes records for profiles that it knows, so that what the mesh would refuse
// is refused at once. It is safe for concurrent use. Records go on as all of the
// client's do: in batches of its size and time, again until they are durable, and at
// Shutdown of the client at the latest.
type Queue struct {
	client    *Client // nil where records are only captured
	inserters map[string]*Inserter
	closed    atomic.Bool

	capture  atomic.Bool
	mu       sync.Mutex
	captured map[string][]*ingestv1.Record // by alias
}

// QueueOption changes how a queue works.
type QueueOption func(*queueConfig)

type queueConfig struct {
	ratio  float64
	ratios map[string]float64 // by alias
}

// SampleRecords lets so much of all records in, from 0 to 1. Records of a trace come
// in together or not at all, and with the traces that a sampler of that ratio keeps;
// labels come in when the record of their id does. What is left out is counted, see
// Inserter.Stats.
func SampleRecords(ratio float64) QueueOption {
	return func(c *queueConfig) { c.ratio = ratio }
}

// SampleAlias is SampleRecords for one alias.
func SampleAlias(alias string, ratio float64) QueueOption {
	return func(c *queueConfig) { c.ratios[alias] = ratio }
}

// OpenQueue opens a queue of the default client, see [Init], for profiles by alias:
// each the path of a JSON file, or what the mesh knows it by, its uid, "space/name"
// (the newest version, from now on) or "space/name/version". The mesh is asked until
// ctx ends. Span.Insert inserts into the queue that was opened last.
//
//	queue, err := sdk.OpenQueue(ctx, map[string]string{"wine": "wine.json", "fraud": "payments/fraud"})
//	…
//	err = queue.For("wine").Insert(ctx, sdk.Float("acid", 7.4), sdk.String("colour", "red"))
func OpenQueue(ctx context.Context, profiles map[string]string, options ...QueueOption) (*Queue, error) {
	client := Default()
	if client == nil {
		return nil, ErrNoClient
	}
	q, err := client.OpenQueue(ctx, profiles, options...)
	if err == nil {
		opened.Store(q)
	}
	return q, err
}

// opened is the queue that was opened last for the default client.
var opened atomic.Pointer[Queue]

// OpenQueue is the function OpenQueue for this client, and not for Span.Insert.
func (c *Client) OpenQueue(ctx context.Context, profiles map[string]string, options ...QueueOption) (*Queue, error) {
	known := make(map[string]*profile.Profile, len(profiles))
	var errs []error
	for _, alias := range slices.Sorted(maps.Keys(profiles)) {
		p, err := c.find(ctx, profiles[alias])
		if err != nil {
			errs = append(errs, fmt.Errorf("profile %s: %w", alias, err))
			continue
		}
		known[alias] = p
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("open queue: %w", errors.Join(errs...))
	}
	return newQueue(c, known, options)
}

// CaptureQueue opens a queue that keeps records instead of sending them, for tests
// and evaluations without a mesh; see Queue.Drain.
func CaptureQueue(profiles map[string]*profile.Profile, options ...QueueOption) (*Queue, error) {
	q, err := newQueue(nil, profiles, options)
	if err != nil {
		return nil, err
	}
	q.capture.Store(true)
	return q, nil
}

// find reads a profile from a file, or asks the mesh.
func (c *Client) find(ctx context.Context, where string) (*profile.Profile, error) {
	info, err := os.Stat(where)
	if err == nil && !info.IsDir() || strings.EqualFold(filepath.Ext(where), ".json") {
		raw, err := os.ReadFile(where)
		if err != nil {
			return nil, err
		}
		return profile.Parse(raw)
	}
	return c.Profile(ctx, where)
}

func newQueue(c *Client, profiles map[string]*profile.Profile, options []QueueOption) (*Queue, error) {
	cfg := queueConfig{ratio: 1, ratios: map[string]float64{}}
	for _, o := range options {
		o(&cfg)
	}
	q := &Queue{client: c, inserters: make(map[string]*Inserter, len(profiles)), captured: map[string][]*ingestv1.Record{}}
	for alias, ratio := range cfg.ratios {
		if profiles[alias] == nil {
			return nil, fmt.Errorf("open queue: sample %s: %w", alias, ErrNoAlias)
		}
		if !(ratio >= 0 && ratio <= 1) {
			return nil, fmt.Errorf("open queue: sample %s: the ratio %v is not between 0 and 1", alias, ratio)
		}
	}
	if !(cfg.ratio >= 0 && cfg.ratio <= 1) {
		return nil, fmt.Errorf("open queue: the sample ratio %v is not between 0 and 1", cfg.ratio)
	}
	for alias, p := range profiles {
		ratio, own := cfg.ratios[alias]
		if !own {
			ratio = cfg.ratio
		}
		q.inserters[alias] = newInserter(q, alias, p, ratio)
	}
	return q, nil
}

// For is where records of an alias go in. For an alias that there is not, every
// insert returns ErrNoAlias.
func (q *Queue) For(alias string) *Inserter {
	if in := q.inserters[alias]; in != nil {
		return in
	}
	return &Inserter{alias: alias, queue: q, broken: fmt.Errorf("insert into %q: %w", alias, ErrNoAlias)}
}

// Aliases are those that the queue was opened with, sorted.
func (q *Queue) Aliases() []string { return slices.Sorted(maps.Keys(q.inserters)) }

// Flush waits until everything inserted so far is durable; see Client.Flush.
func (q *Queue) Flush(ctx context.Context) error {
	if q.client == nil {
		return nil
	}
	return q.client.Flush(ctx)
}

// Close lets no more records in and flushes. The client stays open.
func (q *Queue) Close(ctx context.Context) error {
	q.closed.Store(true)
	opened.CompareAndSwap(q, nil)
	return q.Flush(ctx)
}

// maxCaptured bounds the captured records of an alias.
const maxCaptured = 100_000

// Capture keeps records instead of sending them from now on, for tests and
// evaluations, up to 100,000 of each alias; or sends them again. It does not wait
// for inserts under way. A queue of CaptureQueue always keeps them.
func (q *Queue) Capture(on bool) { q.capture.Store(on || q.client == nil) }

// Drain gives the records captured for an alias, in order, and forgets them.
func (q *Queue) Drain(alias string) []*ingestv1.Record {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.captured[alias]
	delete(q.captured, alias)
	return list
}

// DrainAll is Drain for every alias that has records.
func (q *Queue) DrainAll() map[string][]*ingestv1.Record {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.captured
	q.captured = map[string][]*ingestv1.Record{}
	return all
}

// keep captures an encoded record.
func (q *Queue) keep(alias string, encoded []byte) error {
	var one ingestv1.PublishRecordsRequest
	if err := proto.Unmarshal(encoded, &one); err != nil {
		return fmt.Errorf("capture record: %w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.captured[alias]) >= maxCaptured {
		return ErrFull
	}
	q.captured[alias] = append(q.captured[alias], one.GetRecords()...)
	return nil
}
