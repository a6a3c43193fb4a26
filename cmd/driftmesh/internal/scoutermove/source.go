// Package scoutermove brings the profiles of a running Scouter into a mesh by the API
// that its clients know: with the same uids, so that applications which go on sending
// need no change but the address.
package scoutermove

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Source is a running Scouter, or another mesh that speaks as one.
type Source struct {
	base, token string
	client      *http.Client
}

const (
	// patience is how long an answer may take.
	patience = 30 * time.Second
	// maxAnswer bounds an answer in bytes.
	maxAnswer = 256 << 20
)

// Found is a profile of the source.
type Found struct {
	DriftType string
	Document  []byte // as it came
	Active    bool

	UID, Space, Name, Version string
}

// Title is the profile as people write it, with its kind.
func (f *Found) Title() string {
	return f.Space + "/" + f.Name + "/" + f.Version + " " + f.DriftType
}

// ErrNotFound is said of profiles that the source does not know.
var ErrNotFound = errors.New("there is no such profile")

// Open logs in. base is the address without /scouter.
func Open(ctx context.Context, base, username, password string) (*Source, error) {
	s := &Source{base: strings.TrimSuffix(strings.TrimSuffix(base, "/"), "/scouter") + "/scouter/", client: &http.Client{Timeout: patience}}
	var in struct{ Token string }
	if err := s.ask(ctx, http.MethodGet, "auth/login", nil, &in, "Username", username, "Password", password); err != nil {
		return nil, fmt.Errorf("log in at %s: %w", base, err)
	}
	if s.token = in.Token; s.token == "" {
		return nil, fmt.Errorf("log in at %s: the answer has no token", base)
	}
	return s, nil
}

// ask makes a request and decodes its answer; head are names and values.
func (s *Source) ask(ctx context.Context, verb, path string, body []byte, answer any, head ...string) error {
	req, err := http.NewRequestWithContext(ctx, verb, s.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if next, ok := strings.CutPrefix(resp.Header.Get("Authorization"), "Bearer "); ok {
		s.token = next
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return err
	case resp.StatusCode == http.StatusNotFound:
		return ErrNotFound
	case resp.StatusCode != http.StatusOK:
		const most = 200
		return fmt.Errorf("it answers %s: %.*s", resp.Status, most, raw)
	}
	if err := json.Unmarshal(raw, answer); err != nil {
		return fmt.Errorf("its answer is not understood: %w", err)
	}
	return nil
}

// Profiles are those of all kinds of space/name/version. Another mesh gives all
// versions of space/name, all of space, and all of "", too. It is ErrNotFound when
// there is none.
func (s *Source) Profiles(ctx context.Context, title string) ([]Found, error) {
	part := strings.SplitN(title+"//", "/", 4)
	body, err := json.Marshal(map[string]string{"space": part[0], "name": part[1], "version": part[2]})
	if err != nil {
		return nil, err
	}
	var listed []struct {
		Profile map[string]json.RawMessage `json:"profile"`
		Active  bool                       `json:"active"`
	}
	if err := s.ask(ctx, http.MethodPost, "profiles", body, &listed); err != nil {
		return nil, err
	}
	var all []Found
	for _, one := range listed {
		for driftType, document := range one.Profile {
			f := Found{DriftType: driftType, Document: document, Active: one.Active}
			var said struct {
				Config struct{ UID, Space, Name, Version string }
			}
			if err := json.Unmarshal(document, &said); err != nil {
				return nil, fmt.Errorf("a profile is not understood: %w", err)
			}
			f.UID, f.Space, f.Name, f.Version = said.Config.UID, said.Config.Space, said.Config.Name, said.Config.Version
			all = append(all, f)
		}
	}
	if len(all) == 0 {
		return nil, ErrNotFound
	}
	return all, nil
}
