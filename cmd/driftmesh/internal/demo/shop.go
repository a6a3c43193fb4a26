package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// The services of the shop, as they call themselves in their spans.
const (
	frontend     = "frontend"
	ratingAPI    = "rating-api"
	featureStore = "feature-store"
	modelServer  = "model-server"
)

// services are all of them.
var services = []string{frontend, ratingAPI, featureStore, modelServer}

// predictSpan is the name of the span in whose context a record is sent.
const predictSpan = "model.predict"

const (
	// failing of all requests find the database away; one in so many.
	failing = 50
	// missing of all lookups are not in the cache; one in so many.
	missing = 4
	// refreshed is how many lookups that missed the cache one run of the
	// refresher takes together.
	refreshed = 8
)

// prediction is what came of one request.
type prediction struct {
	ctx context.Context //nolint:containedctx // the span that predicted is the result
	at  time.Time
	row int
}

// shop answers requests, and tells of each in a trace. It lives in whatever
// time it is given: a request of ten minutes ago is one by its spans. It is not
// safe for concurrent use.
type shop struct {
	data    *Data
	version string
	random  *rand.Rand
	tracers map[string]trace.Tracer

	missed []trace.Link // lookups that the refresher has not seen to
}

// newShop makes a shop. providers has a provider for each of services; version
// is that of the model.
func newShop(data *Data, version string, random *rand.Rand, providers map[string]*sdktrace.TracerProvider) *shop {
	s := &shop{data: data, version: version, random: random, tracers: map[string]trace.Tracer{}}
	for name, p := range providers {
		s.tracers[name] = p.Tracer("github.com/driftmesh/driftmesh/demo")
	}
	return s
}

// request serves one request that began at the given time: somebody looks at
// the wine of that row, sent by that campaign. False means that it failed and
// nothing was predicted.
func (s *shop) request(ctx context.Context, at time.Time, row int, campaign string) (prediction, bool) {
	v := &visit{shop: s, now: at, row: row, broken: s.random.IntN(failing) == 0}
	v.page(ctx, campaign)
	if len(s.missed) >= refreshed {
		s.refresh(ctx, v.now)
	}
	return v.prediction, !v.broken
}

// visit is one request on its way through the services; now moves with it.
type visit struct {
	*shop
	now        time.Time
	row        int
	broken     bool
	prediction prediction
}

// takes lets time pass: usually about d, sometimes much more.
func (v *visit) takes(d time.Duration) {
	v.now = v.now.Add(time.Duration(float64(d) * (0.5 + v.random.ExpFloat64()*0.5)))
}

// span does the work within a span of a service. Work that fails marks it.
func (v *visit) span(ctx context.Context, service, name string, kind trace.SpanKind, attributes []attribute.KeyValue,
	work func(ctx context.Context, span trace.Span) error,
) error {
	ctx, span := v.tracers[service].Start(ctx, name, trace.WithTimestamp(v.now), trace.WithSpanKind(kind), trace.WithAttributes(attributes...))
	err := work(ctx, span)
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End(trace.WithTimestamp(v.now))
	return err
}

func (v *visit) page(ctx context.Context, campaign string) {
	_ = v.span(ctx, frontend, "GET /wines/{wine}", trace.SpanKindServer, []attribute.KeyValue{
		attribute.String("http.request.method", "GET"),
		attribute.String("http.route", "/wines/{wine}"),
		attribute.String("url.path", fmt.Sprintf("/wines/%d", v.row)),
		attribute.String("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
		attribute.String("client.address", fmt.Sprintf("192.0.2.%d", 1+v.random.IntN(254))),
		attribute.String("shop.campaign", campaign),
	}, func(ctx context.Context, span trace.Span) error {
		v.takes(2 * time.Millisecond)
		err := v.span(ctx, frontend, "POST", trace.SpanKindClient, []attribute.KeyValue{
			attribute.String("http.request.method", "POST"),
			attribute.String("url.full", "http://rating-api:8080/v1/ratings"),
			attribute.String("server.address", ratingAPI),
			attribute.Int("server.port", 8080),
		}, func(ctx context.Context, span trace.Span) error {
			v.takes(300 * time.Microsecond)
			err := v.rate(ctx)
			v.takes(300 * time.Microsecond)
			return answered(span, err)
		})
		v.takes(3 * time.Millisecond)
		return answered(span, err)
	})
}

// answered notes the status that an HTTP call had.
func answered(span trace.Span, err error) error {
	code := 200
	if err != nil {
		code = 503
		span.SetAttributes(attribute.String("error.type", "503"))
	}
	span.SetAttributes(attribute.Int("http.response.status_code", code))
	return err
}

func (v *visit) rate(ctx context.Context) error {
	return v.span(ctx, ratingAPI, "POST /v1/ratings", trace.SpanKindServer, []attribute.KeyValue{
		attribute.String("http.request.method", "POST"),
		attribute.String("http.route", "/v1/ratings"),
		attribute.Int("wine.id", v.row),
	}, func(ctx context.Context, span trace.Span) error {
		v.takes(500 * time.Microsecond)
		if err := v.features(ctx); err != nil {
			return answered(span, err)
		}
		v.predict(ctx)
		v.keep(ctx)
		return answered(span, nil)
	})
}

// rpc are the attributes of the call for features, on either side of it.
func rpc() []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("rpc.system", "grpc"),
		attribute.String("rpc.service", "shop.FeatureStore"),
		attribute.String("rpc.method", "GetFeatures"),
	}
}

func (v *visit) features(ctx context.Context) error {
	const method = "shop.FeatureStore/GetFeatures"
	return v.span(ctx, ratingAPI, method, trace.SpanKindClient, rpc(), func(ctx context.Context, _ trace.Span) error {
		v.takes(200 * time.Microsecond)
		err := v.span(ctx, featureStore, method, trace.SpanKindServer, rpc(), func(ctx context.Context, span trace.Span) error {
			v.takes(200 * time.Microsecond)
			hit := !v.broken && v.random.IntN(missing) > 0
			span.SetAttributes(attribute.Bool("cache.hit", hit))
			if hit {
				return nil
			}
			span.AddEvent("cache miss", trace.WithTimestamp(v.now), trace.WithAttributes(attribute.String("cache.key", fmt.Sprintf("wine:%d", v.row))))
			v.missed = append(v.missed, trace.Link{
				SpanContext: span.SpanContext(), Attributes: []attribute.KeyValue{attribute.Int("wine.id", v.row)},
			})
			return v.query(ctx, featureStore, "SELECT wine_features", "SELECT * FROM wine_features WHERE id = $1", v.broken)
		})
		v.takes(200 * time.Microsecond)
		return err
	})
}

// query asks the database, which shows in its client's span alone, as
// databases do.
func (v *visit) query(ctx context.Context, service, name, text string, fails bool) error {
	return v.span(ctx, service, name, trace.SpanKindClient, []attribute.KeyValue{
		attribute.String("db.system.name", "postgresql"),
		attribute.String("db.namespace", "shop"),
		attribute.String("db.query.text", text),
		attribute.String("server.address", "db"),
		attribute.Int("server.port", 5432),
	}, func(_ context.Context, span trace.Span) error {
		if !fails {
			v.takes(3 * time.Millisecond)
			return nil
		}
		v.takes(250 * time.Millisecond)
		err := errTimeout
		span.SetAttributes(attribute.String("db.response.status_code", "57014"), attribute.String("error.type", "57014"))
		span.RecordError(err, trace.WithTimestamp(v.now))
		return err
	})
}

// errTimeout is what the database says when it is slow: query_canceled.
var errTimeout = databaseError("canceling statement due to statement timeout")

type databaseError string

func (e databaseError) Error() string { return string(e) }

func (v *visit) predict(ctx context.Context) {
	_ = v.span(ctx, modelServer, predictSpan, trace.SpanKindServer, []attribute.KeyValue{
		attribute.String("model.name", Space+"/"+Name),
		attribute.String("model.version", v.version),
		attribute.Int("model.features", len(v.data.features)),
		attribute.Int("wine.id", v.row),
	}, func(ctx context.Context, span trace.Span) error {
		v.prediction = prediction{ctx: ctx, at: v.now, row: v.row}
		v.takes(4 * time.Millisecond)
		span.SetAttributes(attribute.Float64("wine.rating", v.data.rating(v.row)))
		return nil
	})
}

// keep writes the rating down.
func (v *visit) keep(ctx context.Context) {
	_ = v.query(ctx, ratingAPI, "INSERT ratings", "INSERT INTO ratings (wine, rating) VALUES ($1, $2)", false)
}

// refresh is a job of the feature store: a trace of its own that is linked to
// the requests because of which it runs.
func (s *shop) refresh(ctx context.Context, at time.Time) {
	links := s.missed
	s.missed = nil
	v := &visit{shop: s, now: at}
	ctx, span := s.tracers[featureStore].Start(ctx, "refresh wine_features", trace.WithNewRoot(), trace.WithTimestamp(at),
		trace.WithSpanKind(trace.SpanKindInternal), trace.WithLinks(links...), trace.WithAttributes(attribute.Int("job.batch", len(links))))
	_ = v.query(ctx, featureStore, "SELECT wine_features", "SELECT * FROM wine_features WHERE id = ANY($1)", false)
	span.End(trace.WithTimestamp(v.now))
}
