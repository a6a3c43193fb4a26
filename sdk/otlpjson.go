package sdk

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// jsonClient sends OTLP as JSON, which OpenTelemetry's exporters for Go do not.
type jsonClient struct {
	endpoint string
	headers  map[string]string
	gzip     bool
	timeout  time.Duration
	client   *http.Client
}

var _ otlptrace.Client = (*jsonClient)(nil)

// maxElapsed is how long a batch is tried, as OpenTelemetry's exporters do.
const maxElapsed = time.Minute

func (o OTLP) json(ctx context.Context) (sdktrace.SpanExporter, error) {
	o, err := o.filled()
	if err != nil {
		return nil, err
	}
	base, _ := http.DefaultTransport.(*http.Transport)
	t := base.Clone()
	t.TLSClientConfig = o.TLS
	return otlptrace.New(ctx, &jsonClient{
		endpoint: o.Endpoint, headers: o.Headers, gzip: o.Gzip, timeout: o.Timeout, client: &http.Client{Transport: t},
	})
}

// exporterVariable is one of OpenTelemetry's exporters': that of traces, or that of all.
func exporterVariable(name string) string {
	return variableOf("OTEL_EXPORTER_OTLP_TRACES_"+name, "OTEL_EXPORTER_OTLP_"+name)
}

// filled takes from the variables what is not set.
func (o OTLP) filled() (OTLP, error) {
	if o.Endpoint == "" {
		o.Endpoint = variableOf("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	}
	if o.Endpoint == "" {
		o.Endpoint = strings.TrimSuffix(cmp.Or(variableOf("OTEL_EXPORTER_OTLP_ENDPOINT"), "http://localhost:4318"), "/") + spansPath
	}
	if o.Headers == nil {
		o.Headers = map[string]string{}
		for pair := range strings.SplitSeq(exporterVariable("HEADERS"), ",") {
			if k, v, ok := strings.Cut(pair, "="); ok {
				v, err := url.PathUnescape(strings.TrimSpace(v))
				if err != nil {
					return o, fmt.Errorf("header %s: %w", k, err)
				}
				o.Headers[strings.TrimSpace(k)] = v
			}
		}
	}
	o.Gzip = o.Gzip || exporterVariable("COMPRESSION") == "gzip"
	if ms, err := strconv.Atoi(exporterVariable("TIMEOUT")); err == nil && o.Timeout == 0 {
		o.Timeout = time.Duration(ms) * time.Millisecond
	}
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	files := tlsFiles{ca: exporterVariable("CERTIFICATE"), cert: exporterVariable("CLIENT_CERTIFICATE"), key: exporterVariable("CLIENT_KEY")}
	if o.TLS == nil && files != (tlsFiles{}) {
		var err error
		if o.TLS, err = files.config(); err != nil {
			return o, err
		}
	} else if o.TLS == nil {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return o, nil
}

// Start implements otlptrace.Client.
func (*jsonClient) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (c *jsonClient) Stop(context.Context) error {
	c.client.CloseIdleConnections()
	return nil
}

// UploadTraces implements otlptrace.Client.
func (c *jsonClient) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	body, err := jsonOf(spans)
	if err != nil {
		return err
	}
	if c.gzip {
		if body, err = pack(body); err != nil {
			return err
		}
	}
	limited, cancel := context.WithTimeout(ctx, maxElapsed)
	defer cancel()
	by := courier{send: c.post, timeout: c.timeout, retried: func() {}}
	_, err = by.deliver(limited, &pace{shortest: 5 * time.Second, longest: 30 * time.Second}, Batch{Type: TypeSpans, Body: body})
	return err
}

// jsonOf writes a request as OTLP/JSON: protobuf's JSON, but with numbers for enums
// and hexadecimal ids. Those are also base64, of other bytes: with these in their
// place protojson writes them. The spans are changed.
func jsonOf(spans []*tracepb.ResourceSpans) ([]byte, error) {
	for _, r := range spans {
		for _, s := range r.GetScopeSpans() {
			for _, span := range s.GetSpans() {
				span.TraceId, span.SpanId, span.ParentSpanId = asHex(span.GetTraceId()), asHex(span.GetSpanId()), asHex(span.GetParentSpanId())
				for _, l := range span.GetLinks() {
					l.TraceId, l.SpanId = asHex(l.GetTraceId()), asHex(l.GetSpanId())
				}
			}
		}
	}
	body, err := protojson.MarshalOptions{UseEnumNumbers: true}.Marshal(&coltracepb.ExportTraceServiceRequest{ResourceSpans: spans})
	if err != nil {
		return nil, fmt.Errorf("encode spans: %w", err)
	}
	return body, nil
}

// asHex is what base64 writes as the hexadecimal form of id, which has a length that
// fits.
func asHex(id []byte) []byte {
	out, _ := base64.StdEncoding.DecodeString(hex.EncodeToString(id))
	return out
}

// post makes one attempt to send a batch.
func (c *jsonClient) post(ctx context.Context, b Batch) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, bytes.NewReader(b.Body))
	if err != nil {
		return Answer{}, &TransportError{Permanent: true, Cause: err}
	}
	req.Header.Set("Content-Type", "application/json")
	if c.gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	for name, value := range c.headers {
		req.Header.Set(name, value)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return Answer{}, fmt.Errorf("send: %w", err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode/100 != 2 {
		return Answer{}, httpError(resp, raw)
	}
	var answer coltracepb.ExportTraceServiceResponse
	if err = errors.Join(err, protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(raw, &answer)); err != nil {
		return Answer{}, nil // it was taken
	}
	if p := answer.GetPartialSuccess(); p.GetRejectedSpans() > 0 {
		otel.Handle(fmt.Errorf("%s refused %d spans: %s", c.endpoint, p.GetRejectedSpans(), p.GetErrorMessage()))
	}
	return Answer{}, nil
}
