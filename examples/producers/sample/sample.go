// Package sample makes the two messages that the examples of this directory
// publish to the topic inbox: a batch of records and a trace, both in one trace
// of their sender. docs/asyncapi.yaml says what else a message may hold.
package sample

import (
	"crypto/rand"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// Message is one message for the topic inbox.
type Message struct {
	ID      string // published twice under one id, it counts once
	Value   []byte
	Headers map[string]string
}

// Flags are what every example asks for. The token is no flag: command lines are
// for every process of the machine to read.
type Flags struct{ URL, Token, Profile string }

// Parse reads the command line; url is where the broker is unless it says
// otherwise.
func Parse(url string) Flags {
	var f Flags
	flag.StringVar(&f.URL, "url", url, "where the broker is")
	f.Token = os.Getenv("TOKEN") // an API key or a token; empty where the mesh takes messages without
	flag.StringVar(&f.Profile, "profile", "default/wine", "profile of the records: space/name")
	flag.Parse()
	return f
}

// Messages makes the two messages.
func Messages(f Flags) ([]Message, error) {
	trace, span := random(16), random(8)
	parent := "00-" + trace + "-" + span + "-01"
	value, err := proto.Marshal(&eventv1.RecordBatch{Records: []*ingestv1.Record{{
		Id: random(8), EventTime: timestamppb.Now(), Profile: f.Profile,
		Body: &ingestv1.Record_Features{Features: &ingestv1.Features{Values: []*ingestv1.Feature{
			{Name: "alcohol", Value: &ingestv1.Feature_Float{Float: 9.4}},
			{Name: "pH", Value: &ingestv1.Feature_Float{Float: 3.51}},
		}}},
	}}})
	if err != nil {
		return nil, fmt.Errorf("encode records: %w", err)
	}
	return []Message{
		{ID: random(16), Value: value, Headers: headers(f, "records.v1", parent)},
		{ID: random(16), Value: spanJSON(trace, span), Headers: headers(f, "otlp.traces.json.v1", parent)},
	}, nil
}

func headers(f Flags, valueType, parent string) map[string]string {
	h := map[string]string{"driftmesh-type": valueType, "traceparent": parent}
	if f.Token != "" {
		h["authorization"] = "Bearer " + f.Token
	}
	return h
}

// spanJSON is a request with the span that both messages have as their parent.
func spanJSON(trace, span string) []byte {
	end := time.Now()
	nanos := func(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }
	return []byte(`{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"producer"}}]},"scopeSpans":[{"spans":[{` +
		`"traceId":"` + trace + `","spanId":"` + span + `","name":"measure","kind":4,` +
		`"startTimeUnixNano":"` + nanos(end.Add(-5*time.Millisecond)) + `","endTimeUnixNano":"` + nanos(end) + `"}]}]}]}`)
}

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
