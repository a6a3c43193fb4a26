package sdk

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

const (
	typeProto = "application/x-protobuf"

	spansPath    = "/v1/traces"
	recordsPath  = "/api/v1/records"
	profilesPath = "/api/v1/profiles"
	loginPath    = "/api/v1/login"
)

// maxAnswer bounds what is read of an answer, as OTLP does.
const maxAnswer = 4 << 20

// httpTransport carries batches as POST requests in protobuf, for networks that let
// nothing else through. Profiles are asked for by REST.
type httpTransport struct {
	base   string
	client *http.Client
	access access
	gzip   bool

	life context.Context //nolint:containedctx // ends with Close, and every call with it
	end  context.CancelFunc
}

var (
	_ Transport                = (*httpTransport)(nil)
	_ grpc.ClientConnInterface = (*httpTransport)(nil)
)

// newHTTPTransport makes the transport for an address, whose path comes before the
// mesh's own.
func newHTTPTransport(cfg *config, address string) (*httpTransport, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%q is no address: want http://HOST:PORT", address)
	}
	u.RawQuery, u.Fragment, u.User = "", "", nil
	if _, _, err := cfg.reach(""); err != nil { // reads the files
		return nil, err
	}
	base, _ := http.DefaultTransport.(*http.Transport)
	t := base.Clone()
	t.TLSClientConfig = cfg.tls.Clone()
	t.MaxIdleConnsPerHost = 2 * cfg.inFlight
	life, end := context.WithCancel(context.Background())
	return &httpTransport{
		life: life, end: end,
		base: strings.TrimSuffix(u.String(), "/"), access: cfg.access, gzip: cfg.gzip,
		// Nobody is followed with credentials in hand.
		client: &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}, nil
}

// MaxBytes implements Transport.
func (t *httpTransport) MaxBytes() int { return maxBody }

// Close implements Transport.
func (t *httpTransport) Close(context.Context) error {
	t.end()
	t.client.CloseIdleConnections()
	return nil
}

// Send implements Transport.
func (t *httpTransport) Send(ctx context.Context, b Batch) (Answer, error) {
	path, packed := spansPath, t.gzip
	if b.Type == TypeRecords {
		path, packed = recordsPath, false // the mesh's REST takes nothing packed
	}
	answer, err := t.post(ctx, path, b.Body, packed)
	if err != nil {
		return Answer{}, err
	}
	return answerOf(b.Type, answer)
}

func (t *httpTransport) post(ctx context.Context, path string, body []byte, packed bool) ([]byte, error) {
	if packed {
		var err error
		if body, err = pack(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Content-Type", typeProto)
	if packed {
		req.Header.Set("Content-Encoding", "gzip")
	}
	return t.do(ctx, req)
}

func (t *httpTransport) do(ctx context.Context, req *http.Request) ([]byte, error) {
	md, err := t.access.GetRequestMetadata(ctx)
	if err != nil {
		return nil, grpcError(err)
	}
	for name, value := range md {
		req.Header.Set(name, value)
	}
	req.Header.Set("Accept", typeProto)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.life, cancel)() //nolint:contextcheck // of all calls
	if t.life.Err() != nil {
		return nil, errors.New("send: the transport is closed")
	}
	resp, err := t.client.Do(req.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case resp.StatusCode == http.StatusOK && err == nil && len(answer) <= maxAnswer:
		return answer, nil
	case resp.StatusCode == http.StatusOK && err == nil:
		return nil, fmt.Errorf("the answer is larger than %d bytes", maxAnswer)
	case resp.StatusCode == http.StatusOK:
		return nil, fmt.Errorf("read answer: %w", err)
	}
	return nil, httpError(resp, answer)
}

func pack(body []byte) ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, err := z.Write(body)
	if err = errors.Join(err, z.Close()); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	return out.Bytes(), nil
}

// httpError says what an answer means that is no success. What may be sent again is
// as OTLP has it; of other failures of the server the batch may be the cause.
func httpError(resp *http.Response, body []byte) *TransportError {
	out := &TransportError{Cause: causeOf(resp, body), RetryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now())}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusRequestTimeout:
	default:
		out.Suspect = resp.StatusCode >= http.StatusInternalServerError
		out.Permanent = !out.Suspect
	}
	return out
}

// retryAfter is how long a header asks to wait, in seconds or until a date.
func retryAfter(v string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// causeOf reads an error as the mesh has it, a gRPC status in protobuf or JSON, or
// makes one of what somebody in between said.
func causeOf(resp *http.Response, body []byte) error {
	media, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	var st statuspb.Status
	if media == typeProto && proto.Unmarshal(body, &st) == nil && st.GetCode() != 0 {
		return status.ErrorProto(&st)
	}
	var said struct {
		Code    codes.Code `json:"code"` // reads "NOT_FOUND"
		Message string     `json:"message"`
	}
	if json.Unmarshal(body, &said) == nil && said.Code != codes.OK {
		return status.Error(said.Code, said.Message)
	}
	const some = 200
	text := strings.ToValidUTF8(strings.TrimSpace(string(body[:min(len(body), some)])), "")
	return fmt.Errorf("HTTP %s: %s", resp.Status, text)
}

// Invoke implements grpc.ClientConnInterface for the methods that a client calls.
func (t *httpTransport) Invoke(ctx context.Context, method string, in, out any, _ ...grpc.CallOption) error {
	to, _ := out.(proto.Message)
	var answer []byte
	var err error
	switch req := in.(type) {
	case *driftv1.CreateProfileRequest:
		answer, err = t.ask(ctx, profilesPath, req)
	case *authv1.LoginRequest:
		answer, err = t.ask(ctx, loginPath, req)
	case *driftv1.GetProfileRequest:
		var get *http.Request
		if get, err = http.NewRequestWithContext(ctx, http.MethodGet, t.base+profilesPath+"/"+escaped(req.GetProfile()), nil); err != nil {
			return fmt.Errorf("make request: %w", err)
		}
		answer, err = t.do(ctx, get)
	default:
		return status.Errorf(codes.Unimplemented, "%s is not called over HTTP", method)
	}
	if err != nil {
		return err
	}
	if err := proto.Unmarshal(answer, to); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return nil
}

func (t *httpTransport) ask(ctx context.Context, path string, req proto.Message) ([]byte, error) {
	body, err := proto.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return t.post(ctx, path, body, false)
}

// escaped is a name of several parts as a path has it.
func escaped(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

// NewStream implements grpc.ClientConnInterface.
func (t *httpTransport) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unimplemented, "no stream goes over HTTP")
}
