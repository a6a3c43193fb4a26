package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	scouterv1 "github.com/driftmesh/driftmesh/proto/scouter/grpc/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
)

func newUID() string { return uuid.Must(uuid.NewV7()).String() }

// web speaks HTTP.
type web struct {
	client http.Client
	url    string
	token  string
}

func newWeb(a mesh.Addresses) (*web, error) {
	w := &web{url: "http://" + a.HTTP + "/scouter/", client: http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, w.url+"auth/login", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Username", "guest")
	req.Header.Set("Password", "guest")
	var in struct{ Token string }
	if err := w.do(req, &in); err != nil {
		return nil, err
	}
	w.token = in.Token
	return w, nil
}

func (w *web) close() { w.client.CloseIdleConnections() }

// do makes a request that must be answered with 200.
func (w *web) do(req *http.Request, answer any) error {
	resp, err := w.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, raw)
	}
	if err != nil || answer == nil {
		return err
	}
	return json.Unmarshal(raw, answer)
}

func (w *web) post(ctx context.Context, path string, body []byte, answer any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+w.token)
	req.Header.Set("Content-Type", "application/json")
	return w.do(req, answer)
}

func (w *web) send(ctx context.Context, message []byte) error {
	return w.post(ctx, "message", message, nil)
}

// register registers an evaluation profile without tasks and gives its uid.
func (w *web) register() (string, error) {
	body, err := json.Marshal(map[string]any{
		"space": "bench", "drift_type": "GenAI", "active": true, "version_request": map[string]any{"version": nil, "version_type": "Minor"},
		"profile": `{"config":{"sample_ratio":1.0,"space":"bench","name":"bench","version":"0.0.0","uid":"","alert_config":{"dispatch_config":{"Console":{"enabled":true}},` +
			`"schedule":"0 0 0 * * *","alert_condition":null},"drift_type":"GenAI"},"tasks":{"assertion":[],"judge":[],"trace":[],"agent":[]},"scouter_version":"0.25.0","task_ids":[]}`,
	})
	if err != nil {
		return "", err
	}
	var made struct{ UID string }
	err = w.post(context.Background(), "profile", body, &made)
	return made.UID, err
}

// calls speaks gRPC.
type calls struct {
	conn     *grpc.ClientConn
	messages scouterv1.MessageServiceClient
	token    string
}

func newCalls(a mesh.Addresses) (*calls, error) {
	conn, err := a.Open(a.GRPC)
	if err != nil {
		return nil, err
	}
	in, err := scouterv1.NewAuthServiceClient(conn).Login(context.Background(), &scouterv1.LoginRequest{Username: "guest", Password: "guest"})
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &calls{conn, scouterv1.NewMessageServiceClient(conn), in.GetToken()}, nil
}

func (c *calls) close() { _ = c.conn.Close() }

func (c *calls) send(ctx context.Context, message []byte) error {
	_, err := c.messages.InsertMessage(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token),
		&scouterv1.InsertMessageRequest{MessageRecord: message})
	return err
}
