package jaeger

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

const (
	defaultLookback = 48 * time.Hour // Jaeger's
	defaultLimit    = 100            // Jaeger's
	maxLimit        = 1500           // the trace store's
	maxTraceIDs     = 100            // of one request with traceID=
)

// searchQuery is a legacy or v3 search, checked.
type searchQuery struct {
	service, operation       string
	tags                     map[string]string
	start, end               time.Time
	minDuration, maxDuration time.Duration
	limit                    uint32
	traceIDs                 []string
}

func badParam(name, format string, args ...any) error {
	return fault.Invalid.New("parameter '%s' %s", name, fmt.Sprintf(format, args...)).WithReason("BAD_PARAMETER")
}

// parseSearch reads the parameters of GET /api/traces.
func parseSearch(v url.Values, now time.Time) (*searchQuery, error) {
	q := &searchQuery{service: v.Get("service"), operation: v.Get("operation")}
	var err error
	if q.traceIDs, err = parseTraceIDs(v["traceID"]); err != nil {
		return nil, err
	}
	if q.start, q.end, err = parseRange(v, now); err != nil {
		return nil, err
	}
	if q.tags, err = parseTags(v["tag"], v["tags"]); err != nil {
		return nil, err
	}
	if q.limit, err = parseLimit(v, "limit"); err != nil {
		return nil, err
	}
	if q.minDuration, err = parseDuration(v, "minDuration"); err != nil {
		return nil, err
	}
	if q.maxDuration, err = parseDuration(v, "maxDuration"); err != nil {
		return nil, err
	}
	return q, q.check()
}

func (q *searchQuery) check() error {
	if q.minDuration > 0 && q.maxDuration > 0 && q.maxDuration < q.minDuration {
		return badParam("maxDuration", "must not be less than 'minDuration'")
	}
	if q.service == "" && len(q.traceIDs) == 0 {
		return badParam("service", "is required")
	}
	return nil
}

func parseTraceIDs(raw []string) ([]string, error) {
	if len(raw) > maxTraceIDs {
		return nil, badParam("traceID", "is given %d times, at most %d are allowed", len(raw), maxTraceIDs)
	}
	ids := make([]string, 0, len(raw))
	for _, s := range raw {
		id, err := parseTraceID(s)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// parseTraceID accepts what Jaeger accepts: up to 32 hex digits, or 16 bytes in
// any base64. It returns 32 hex digits.
func parseTraceID(s string) (string, error) {
	if s == "" {
		return "", badParam("traceID", "is empty")
	}
	if len(s) <= 32 {
		padded := strings.Repeat("0", 32-len(s)) + strings.ToLower(s)
		if _, err := hex.DecodeString(padded); err == nil {
			return padded, nil
		}
	}
	if len(s) <= 24 {
		for _, enc := range []*base64.Encoding{
			base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding,
		} {
			if b, err := enc.DecodeString(s); err == nil && len(b) == 16 {
				return hex.EncodeToString(b), nil
			}
		}
	}
	return "", badParam("traceID", "must be at most 32 hex digits, got %q", clip(s))
}

// parseRange reads start and end in microseconds. Without a start it is
// lookback before the end.
func parseRange(v url.Values, now time.Time) (start, end time.Time, err error) {
	micros, err := wholeNumber(v, "end", now.UnixMicro())
	if err != nil {
		return start, end, err
	}
	end = time.UnixMicro(micros)
	back := defaultLookback
	if v.Get("start") == "" {
		if back, err = parseLookback(v.Get("lookback")); err != nil {
			return start, end, err
		}
	}
	micros, err = wholeNumber(v, "start", end.Add(-back).UnixMicro())
	if err != nil {
		return start, end, err
	}
	start = time.UnixMicro(micros)
	if start.After(end) {
		return start, end, badParam("start", "must not be after 'end'")
	}
	return start, end, nil
}

// parseLookback accepts Go durations, and days and weeks as Jaeger's interface
// writes them.
func parseLookback(s string) (time.Duration, error) {
	if s == "" || s == "custom" {
		return defaultLookback, nil
	}
	unit := map[byte]time.Duration{'d': 24 * time.Hour, 'w': 7 * 24 * time.Hour}[s[len(s)-1]]
	if unit > 0 {
		n, err := strconv.Atoi(s[:len(s)-1])
		if err != nil || n < 0 || n > 10_000 {
			return 0, badParam("lookback", "must be a duration such as 1h or 2d, got %q", clip(s))
		}
		return time.Duration(n) * unit, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, badParam("lookback", "must be a duration such as 1h or 2d, got %q", clip(s))
	}
	return d, nil
}

// maxMicros keeps times within what a nanosecond count can hold.
const maxMicros = math.MaxInt64 / 1000

func wholeNumber(v url.Values, name string, otherwise int64) (int64, error) {
	s := v.Get(name)
	if s == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > maxMicros {
		return 0, badParam(name, "must be a whole number from 0 to %d, got %q", maxMicros, clip(s))
	}
	return n, nil
}

func parseDuration(v url.Values, name string) (time.Duration, error) {
	s := v.Get(name)
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, badParam(name, "must be a duration such as 1.5ms or 2s, got %q", clip(s))
	}
	return d, nil
}

// parseLimit reads a number of traces; more than the store gives is cut down.
func parseLimit(v url.Values, name string) (uint32, error) {
	s := v.Get(name)
	if s == "" {
		return defaultLimit, nil
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 {
		return 0, badParam(name, "must be a whole number from 1 up, got %q", clip(s))
	}
	return uint32(min(n, maxLimit)), nil
}

// parseTags merges tag=key:value (or key=value), any number of them, and
// tags={"key":"value"}.
func parseTags(simple, objects []string) (map[string]string, error) {
	tags := map[string]string{}
	for _, t := range simple {
		i := strings.IndexAny(t, ":=")
		if i <= 0 {
			return nil, badParam("tag", "must be key:value, got %q", clip(t))
		}
		tags[t[:i]] = t[i+1:]
	}
	for _, o := range objects {
		if o == "" {
			continue
		}
		if err := addTags(tags, o); err != nil {
			return nil, err
		}
	}
	return tags, nil
}

func addTags(tags map[string]string, object string) error {
	var m map[string]any
	dec := json.NewDecoder(strings.NewReader(object))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil || dec.More() {
		return badParam("tags", "must be a JSON object of texts, got %q", clip(object))
	}
	for k, v := range m {
		switch x := v.(type) {
		case string:
			tags[k] = x
		case bool:
			tags[k] = strconv.FormatBool(x)
		case json.Number:
			tags[k] = x.String()
		default:
			return badParam("tags", "has a value that is no text, number or boolean at %q", clip(k))
		}
	}
	return nil
}

// about is the time of a hint, which Jaeger gives in microseconds and Grafana
// in milliseconds: as the former it would be before 1973, as the latter after
// 5138.
func about(n int64) time.Time {
	if n < 1e14 {
		return time.UnixMilli(n)
	}
	return time.UnixMicro(n)
}

// traceRequest reads GET /api/traces/{id}?start&end, which are hints.
func traceRequest(id string, v url.Values) (*tracev1.GetTraceRequest, error) {
	hexID, err := parseTraceID(id)
	if err != nil {
		return nil, err
	}
	req := &tracev1.GetTraceRequest{TraceId: hexID}
	start, err := wholeNumber(v, "start", -1)
	if err != nil {
		return nil, err
	}
	end, err := wholeNumber(v, "end", -1)
	if err != nil {
		return nil, err
	}
	if start >= 0 {
		req.StartTime = timestamppb.New(about(start))
	}
	if end >= 0 {
		req.EndTime = timestamppb.New(about(end))
	}
	return req, nil
}

// clip bounds what of a bad value is repeated to the caller.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
