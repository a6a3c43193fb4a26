package gateway_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	deadletterv1 "github.com/driftmesh/driftmesh/proto/driftmesh/deadletter/v1"
	topicv1 "github.com/driftmesh/driftmesh/proto/driftmesh/topic/v1"
	"github.com/driftmesh/driftmesh/services/gateway/gateway"
)

// fakeDeadLetters has one letter for each tenant.
type fakeDeadLetters struct {
	deadletterv1.UnimplementedDeadLetterServiceServer
}

func (*fakeDeadLetters) ListDeadLetters(ctx context.Context, req *deadletterv1.ListDeadLettersRequest) (*deadletterv1.ListDeadLettersResponse, error) {
	tenant, err := identity.Tenant(ctx)
	return &deadletterv1.ListDeadLettersResponse{DeadLetters: []*deadletterv1.DeadLetter{
		{Id: "letter-of-" + tenant, Topic: req.GetTopic(), State: deadletterv1.DeadLetterState_DEAD_LETTER_STATE_PARKED},
	}}, err
}

func (*fakeDeadLetters) GetDeadLetter(_ context.Context, req *deadletterv1.GetDeadLetterRequest) (*deadletterv1.GetDeadLetterResponse, error) {
	return &deadletterv1.GetDeadLetterResponse{DeadLetter: &deadletterv1.DeadLetter{Id: req.GetId()}, Value: []byte{0xff}}, nil
}

func (*fakeDeadLetters) RedriveDeadLetters(_ context.Context, req *deadletterv1.RedriveDeadLettersRequest) (*deadletterv1.RedriveDeadLettersResponse, error) {
	return &deadletterv1.RedriveDeadLettersResponse{Results: []*deadletterv1.RedriveResult{
		{Id: req.GetIds()[0], Outcome: deadletterv1.RedriveOutcome_REDRIVE_OUTCOME_REDRIVEN},
	}}, nil
}

func TestDeadLettersOverREST(t *testing.T) {
	t.Parallel()
	w := start(t, anonymous)
	code, _, raw := w.request(http.MethodGet, w.http+"/api/v1/dead-letters?topic=spans&states=DEAD_LETTER_STATE_REDRIVEN", "")
	require.Equal(t, http.StatusOK, code, string(raw))
	list := parsed[struct {
		DeadLetters []map[string]any `json:"dead_letters"`
	}](t, raw)
	require.Equal(t, "letter-of-default", list.DeadLetters[0]["id"])
	require.Equal(t, "spans", list.DeadLetters[0]["topic"])
	require.Equal(t, "DEAD_LETTER_STATE_PARKED", list.DeadLetters[0]["state"])
	code, _, raw = w.request(http.MethodGet, w.http+"/api/v1/dead-letters/abc", "")
	require.Equal(t, http.StatusOK, code, string(raw))
	require.Equal(t, "/w==", parsed[map[string]any](t, raw)["value"])
	code, _, raw = w.request(http.MethodPost, w.http+"/api/v1/dead-letters:redrive", `{"ids": ["abc"]}`)
	require.Equal(t, http.StatusOK, code, string(raw))
	require.Contains(t, string(raw), "REDRIVE_OUTCOME_REDRIVEN")

	// The tenant is the caller's.
	resp, err := deadletterv1.NewDeadLetterServiceClient(w.conn()).ListDeadLetters(asRole(t, "acme", policy.Operator), &deadletterv1.ListDeadLettersRequest{})
	require.NoError(t, err)
	require.Equal(t, "letter-of-acme", resp.GetDeadLetters()[0].GetId())
}

func TestTopicsOverREST(t *testing.T) {
	t.Parallel()
	w := start(t, anonymous)
	require.NoError(t, w.admin.Admin().EnsureGroup(t.Context(), broker.GroupSpec{Topic: event.Spans, Name: event.GroupTraceStore}))
	code, _, raw := w.request(http.MethodGet, w.http+"/api/v1/topics", "")
	require.Equal(t, http.StatusOK, code, string(raw))
	type group struct {
		Group, Total, Problem string
		Known                 bool
	}
	got := parsed[struct {
		Topics []struct {
			Name        string
			DeadLetters bool `json:"dead_letters"`
			Groups      []group
		}
	}](t, raw)
	require.Equal(t, "spans", got.Topics[0].Name)
	require.Equal(t, group{Group: event.GroupTraceStore, Total: "0", Known: true}, got.Topics[0].Groups[0])
	require.True(t, got.Topics[1].DeadLetters)
	require.Equal(t, "the group does not exist", got.Topics[1].Groups[0].Problem)

	// A tenant's users have no business with the mesh; its administrators do.
	client := topicv1.NewTopicServiceClient(w.conn())
	_, err := client.ListTopics(as(t, "acme"), &topicv1.ListTopicsRequest{})
	require.Equal(t, codes.PermissionDenied, status.Code(err), err)
	admin := "Bearer " + token(identity.MeshTenant, func(c jwt.MapClaims) { c["admin"] = true })
	code, _, raw = w.request(http.MethodGet, w.http+"/api/v1/topics", "", "Authorization", admin)
	require.Equal(t, http.StatusOK, code, string(raw))
}

// Where other machines can call, those without credentials see nothing of the
// mesh.
func TestTopicsAreNotForEverybody(t *testing.T) {
	t.Parallel()
	w := start(t, anonymous, func(c *gateway.Config) { c.GRPC, c.Insecure = "0.0.0.0:0", true })
	code, _, raw := w.request(http.MethodGet, w.http+"/api/v1/topics", "")
	require.Equal(t, http.StatusForbidden, code, string(raw))
}
