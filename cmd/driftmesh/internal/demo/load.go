package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk"
)

// The campaigns that bring people to the shop. The second is what moves the
// data, and stands in every trace: an alert's exemplars lead to it.
const (
	everyday  = "everyday"
	strongRed = "strong reds"
)

// seed makes one demo as random as another.
const seed = 1599

// flushTimeout bounds the sending of what is left when the load ends.
const flushTimeout = 8 * time.Second

// Load is one run of the shop against a mesh. Every field is required.
type Load struct {
	Config
	Data    *Data
	Profile *driftv1.Profile // as registered
	Drift   driftv1.DriftServiceClient
	GRPC    string // address of the door for records
	OTLP    string // address of the door for spans
	Guide   Guide
	Out     io.Writer
}

// Plan says what is going to happen.
func Plan(to io.Writer, cfg Config) {
	live := "until Ctrl-C"
	if cfg.Duration > 0 {
		live = fmt.Sprintf("until %s have passed", cfg.Duration)
	}
	fmt.Fprintf(to, `driftmesh demo: a shop rates red wines with a model. Its mesh sees every request (a trace of four
services) and what the model was given (a record), and knows what the model learned (a profile).

  history   %s of the past, as the model learned it, sent at once
  calm      %s of live requests, %d a second, as the model learned them
  drift     a campaign for strong reds moves the data, %s
            an alert follows when the minute is over, and leads to the traces that moved it

`, cfg.History, cfg.Calm, cfg.Rate, live)
}

// Run plays the phases until ctx ends or the time is up, and tells of alerts as
// they are raised. What was begun is sent before it returns. It returns nil
// when it was stopped.
func (l Load) Run(ctx context.Context) error {
	if l.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.Duration)
		defer cancel()
	}
	spans, err := newExporters(ctx, l.OTLP, l.APIKey.Reveal(), l.Profile.GetVersion())
	if err != nil {
		return err
	}
	options := []sdk.Option{}
	if l.APIKey != "" {
		options = append(options, sdk.WithAPIKey(l.APIKey.Reveal()))
	}
	records, err := sdk.New(l.GRPC, options...) //nolint:contextcheck // the client lives until it is closed
	if err != nil {
		return errors.Join(err, spans.close(ctx))
	}
	random := rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // no secret hangs on a demo
	p := &player{
		Load: l, say: &speaker{to: l.Out}, spans: spans, records: records,
		shop:   newShop(l.Data, l.Profile.GetVersion(), random, spans),
		usual:  newDeck(l.Data.reference, random),
		strong: newDeck(l.Data.strong, random),
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.play(ctx) })
	group.Go(func() error { return p.watch(ctx) })
	err = group.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	if err = errors.Join(err, spans.close(last), records.Shutdown(last)); err == nil {
		p.say.line("stopping: sent %d requests, %d predictions", p.requests, p.predictions)
	}
	return err
}

// player is a Load that runs.
type player struct {
	Load
	say           *speaker
	spans         exporters
	records       *sdk.Client
	shop          *shop
	usual, strong *deck
	requests      int
	predictions   int
}

// play goes through the phases and returns nil when ctx ends.
func (p *player) play(ctx context.Context) error {
	if err := p.phases(ctx); ctx.Err() == nil {
		return err
	}
	return nil // stopped, which is no error
}

func (p *player) phases(ctx context.Context) error {
	now := time.Now()
	if err := p.past(ctx, now.Add(-p.History).Truncate(time.Minute), now); err != nil {
		return err
	}
	p.say.line("calm: %d requests a second as the model learned them, for %s", p.Rate, p.Calm)
	p.say.line("      traces: %s", p.Guide.searchURL())
	p.say.line("              %s", p.Guide.command("traces search --service "+frontend))
	start := time.Now()
	drift := start.Add(p.Calm)
	if err := p.live(ctx, start, drift, p.usual, everyday); err != nil {
		return err
	}
	over := drift.Truncate(time.Minute).Add(time.Minute)
	p.say.line("drift: only wines above %g %% alcohol from now on; the alert comes when a minute with enough of them is over,", strong)
	p.say.line("       soon after %s or a minute later", over.Format(clock))
	return p.live(ctx, drift, time.Time{}, p.strong, strongRed)
}

// past sends the requests of the time from begin to end at once.
func (p *player) past(ctx context.Context, begin, end time.Time) error {
	if p.History == 0 {
		return nil
	}
	for i := 0; ; i++ {
		at := begin.Add(p.after(i))
		if !at.Before(end) {
			break
		}
		if err := p.one(ctx, at, p.usual, everyday); err != nil {
			return err
		}
	}
	if err := errors.Join(p.spans.flush(ctx), p.records.Flush(ctx)); err != nil {
		return fmt.Errorf("send history: %w", err)
	}
	p.say.line("history: sent %d requests since %s: %d predictions, the others met a slow database", p.requests, begin.Format(clock), p.predictions)
	return nil
}

// live sends requests as time goes by, until the end, if there is one.
func (p *player) live(ctx context.Context, start, end time.Time, rows *deck, campaign string) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := 0; ; i++ {
		at := start.Add(p.after(i))
		if !end.IsZero() && !at.Before(end) {
			return nil
		}
		timer.Reset(time.Until(at))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		if err := p.one(ctx, at, rows, campaign); err != nil {
			return err
		}
	}
}

// after is how long after the first request the i-th comes.
func (p *player) after(i int) time.Duration {
	return time.Duration(i) * time.Second / time.Duration(p.Rate)
}

// one is one request, and the record of its prediction if it came to one.
func (p *player) one(ctx context.Context, at time.Time, rows *deck, campaign string) error {
	p.requests++
	made, ok := p.shop.request(ctx, at, rows.deal(), campaign)
	if !ok {
		return nil
	}
	p.predictions++
	record := p.Data.record(p.Profile.GetUid(), made.row).WithTime(made.at)
	if err := p.records.Send(made.ctx, record); err != nil { //nolint:contextcheck // made of ctx, with the span that predicted
		return fmt.Errorf("send record: %w", err)
	}
	return nil
}

// watchEvery is how often the alerts are looked at.
const watchEvery = time.Second

// watch tells of alerts of the profile until ctx ends. While the mesh does not
// answer it tries again.
func (p *player) watch(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	told := map[string]uint32{} // how many features, by alert
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		list, err := p.Drift.ListAlerts(ctx, &driftv1.ListAlertsRequest{Profile: p.Profile.GetUid(), OpenOnly: true})
		if err != nil {
			continue
		}
		for _, a := range list.GetAlerts() {
			if a.GetMovedCount() <= told[a.GetId()] {
				continue
			}
			first := len(told) == 0
			told[a.GetId()] = a.GetMovedCount()
			p.say.write(func(to io.Writer) { report(to, a, len(p.Profile.GetFeatures()), first, p.Guide) })
		}
	}
}

// clock is how times of the day are written.
const clock = "15:04:05"

// speaker writes for one goroutine at a time.
type speaker struct {
	mu sync.Mutex
	to io.Writer
}

func (s *speaker) line(format string, args ...any) {
	s.write(func(to io.Writer) { fmt.Fprintf(to, time.Now().Format(clock)+"  "+format+"\n", args...) })
}

func (s *speaker) write(f func(io.Writer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.to)
}
