package scouterdoor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/pagetoken"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

// A cursor comes back as it was, though Python keeps microseconds alone.
func TestCursorsSurvivePython(t *testing.T) {
	t.Parallel()
	for _, nanos := range []int{0, 1, 999, 1000, 123_456_000, 123_456_789, 999_999_999} {
		place := &tracev1.TracePlace{MatchTime: timestamppb.New(time.Date(2026, 11, 28, 9, 2, 10, nanos, time.UTC)), TraceId: "4bf92f3577b34da6a3ce929d0e0e4736"}
		c := cursorOf(place)
		python := c.Start.Truncate(time.Microsecond)
		got := (&filters{CursorStart: &python, CursorID: c.TraceID}).after()
		require.True(t, proto.Equal(place, got), nanos)
	}
	start := time.Date(2026, 11, 28, 9, 2, 10, 5, time.UTC)
	require.Equal(t, start, (&filters{CursorStart: &start, CursorID: "x"}).after().GetMatchTime().AsTime(), "one that was not given out")
}

func TestAttributeFilters(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]string{
		"a:b": {"a", "b"}, "a=b": {"a", "b"}, "http.url=http://x": {"http.url", "http://x"}, "http.url:http://x": {"http.url", "http://x"}, "a:b=c": {"a", "b=c"}, "a:": {"a", ""},
	} {
		got, err := (&filters{Attributes: []string{text}}).attributes()
		require.NoError(t, err, text)
		require.Equal(t, want, [2]string{got[0].Key, got[0].Value.(string)}, text) //nolint:forcetypeassert // they are texts
	}
	for _, bad := range [][]string{{""}, {"a"}, {":b"}, {"http://x"}, make([]string, mostAttributes+1)} {
		_, err := (&filters{Attributes: bad}).attributes()
		require.Error(t, err, bad)
	}
}

// The cursor of a page of records asks for the same as the token of drift that it stands
// for, though Python keeps microseconds alone.
func TestCursorsOfRecordsSurvivePython(t *testing.T) {
	t.Parallel()
	at, number := time.Date(2026, 11, 28, 9, 2, 10, 123_456_789, time.UTC), uint64(1)<<53-1
	python := at.Truncate(time.Microsecond)
	req := pageRequest{CursorAt: &python, CursorID: &number}
	req.Service.UID = "a"
	got, err := req.query(false)
	require.NoError(t, err)
	require.Equal(t, pagetoken.Of(at.UnixMicro(), "9007199254740991"), got.GetPageToken())
}
