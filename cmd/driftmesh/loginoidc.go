package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
)

// browser logs in with a browser on this machine, which the provider sends back to an
// address that this program listens on meanwhile (RFC 8252).
func (c loginCmd) browser(ctx context.Context, con console, auth authv1.AuthServiceClient) error {
	var listen net.ListenConfig
	lis, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the browser: %w", err)
	}
	defer lis.Close() //nolint:errcheck // the server has closed it, or never got to
	path, err := c.backPath(ctx, auth)
	if err != nil {
		return err
	}
	begun, err := auth.StartLogin(ctx, &authv1.StartLoginRequest{
		Provider: c.Username, RedirectUri: "http://" + lis.Addr().String() + path,
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(con.err, "Log in with a browser on this machine, at this address, by %s:\n\n  %s\n\nWaiting.\n",
		begun.GetExpireTime().AsTime().Local().Format("15:04"), safe(begun.GetUrl(), true))
	ctx, cancel := context.WithDeadline(ctx, begun.GetExpireTime().AsTime())
	defer cancel()
	back, err := await(ctx, lis, path, begun.GetState())
	if err != nil {
		return err
	}
	back.Login = begun.GetLogin()
	done, err := auth.FinishLogin(ctx, back)
	if err != nil {
		return err
	}
	return c.in(con, done.GetTenant(), done.GetUsername(), done.GetLogin())
}

// backTimeout bounds the request of the browser.
const backTimeout = 5 * time.Second

// backPath is where the browser comes back to: where there are several providers, each
// has a path of its own, so that none has another's answer sent here.
func (c loginCmd) backPath(ctx context.Context, auth authv1.AuthServiceClient) (string, error) {
	all, err := auth.ListProviders(ctx, &authv1.ListProvidersRequest{})
	if err != nil {
		return "", err
	}
	logins := 0
	for _, p := range all.GetProviders() {
		if p.GetLogin() {
			logins++
		}
	}
	if logins > 1 {
		return "/callback/" + url.PathEscape(c.Username), nil
	}
	return "/callback", nil
}

// await gives what the browser comes back to a path with. What does not belong to this
// login is somebody else who found the port.
func await(ctx context.Context, lis net.Listener, path, state string) (*authv1.FinishLoginRequest, error) {
	came := make(chan *authv1.FinishLoginRequest, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		said := r.URL.Query()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Referrer-Policy", "no-referrer")
		if said.Get("state") != state {
			http.Error(w, "this does not belong to the login that driftmesh waits for", http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, "Go back to the terminal: driftmesh has what it needs. This window can be closed.\n")
		select {
		case came <- &authv1.FinishLoginRequest{State: state, Code: said.Get("code"), Issuer: said.Get("iss"), Error: said.Get("error")}:
		default: // it came before
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: backTimeout, ReadTimeout: backTimeout, WriteTimeout: backTimeout, MaxHeaderBytes: 64 << 10}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(lis) }()
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), backTimeout)
		defer cancel()
		_ = server.Shutdown(last) // lets the browser have its answer
	}()
	select {
	case back := <-came:
		return back, nil
	case err := <-failed:
		return nil, fmt.Errorf("listen for the browser: %w", err)
	case <-ctx.Done():
		return nil, late(ctx.Err())
	}
}

func late(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fault.Timeout.New("nobody logged in in time: begin again")
	}
	return err
}

// device logs in with a browser anywhere.
func (c loginCmd) device(ctx context.Context, con console, auth authv1.AuthServiceClient) error {
	begun, err := auth.StartDeviceLogin(ctx, &authv1.StartDeviceLoginRequest{Provider: c.Username})
	if err != nil {
		return err
	}
	fmt.Fprintf(con.err, "Go to this address with any browser, by %s:\n\n  %s\n\nand enter this code there:\n\n  %s\n\n",
		begun.GetExpireTime().AsTime().Local().Format("15:04"), safe(begun.GetVerificationUri(), true), safe(begun.GetUserCode(), true))
	if complete := begun.GetVerificationUriComplete(); complete != "" {
		fmt.Fprintf(con.err, "or go there with the code in the address:\n\n  %s\n\n", safe(complete, true))
	}
	fmt.Fprintln(con.err, "Only enter a code that you asked for yourself. Waiting.")
	ctx, cancel := context.WithDeadline(ctx, begun.GetExpireTime().AsTime())
	defer cancel()
	for wait := begun.GetInterval().AsDuration(); ; {
		select {
		case <-ctx.Done():
			return late(ctx.Err())
		case <-time.After(wait):
		}
		polled, err := auth.PollDeviceLogin(ctx, &authv1.PollDeviceLoginRequest{Login: begun.GetLogin()})
		switch {
		case errors.Is(err, fault.Exhausted), errors.Is(err, fault.Unavailable): // the code is good all the same
			wait += fault.Of(err).RetryAfter()
		case err != nil:
			return err
		case polled.GetLogin() != nil:
			return c.in(con, polled.GetTenant(), polled.GetUsername(), polled.GetLogin())
		default:
			wait += polled.GetSlowDown().AsDuration()
		}
	}
}

// workload exchanges the token in a file.
func (c loginCmd) workload(ctx context.Context, con console, auth authv1.AuthServiceClient) error {
	path, err := filepath.Abs(c.WorkloadFile) // later commands may be elsewhere
	if err != nil {
		return err
	}
	login := &keptLogin{WorkloadFile: path}
	if err := login.exchange(ctx, auth); err != nil {
		return err
	}
	if c.Print {
		fmt.Fprintln(con.out, login.Token)
		return nil
	}
	ring, err := c.keyring()
	if err != nil {
		return err
	}
	if err := ring.update(func(kept *keptLogins) error {
		kept.Meshes[c.Addr] = login
		return nil
	}); err != nil {
		return err
	}
	fmt.Fprintf(con.err, "logged in to %s as %s of tenant %s, for as long as there is a good token in %s\n",
		safe(c.Addr, true), safe(login.User, true), safe(login.Tenant, true), safe(c.WorkloadFile, true))
	return nil
}

// maxWorkloadToken bounds what is read of a file.
const maxWorkloadToken = 64 << 10

// exchange exchanges the token in the login's file for the next token of the mesh.
func (l *keptLogin) exchange(ctx context.Context, auth authv1.AuthServiceClient) error {
	file, err := os.Open(l.WorkloadFile)
	if err != nil {
		return fmt.Errorf("read the workload's token: %w", err)
	}
	defer file.Close() //nolint:errcheck // nothing was written
	raw, err := io.ReadAll(io.LimitReader(file, maxWorkloadToken))
	if err != nil {
		return fmt.Errorf("read the workload's token: %w", err)
	}
	got, err := auth.ExchangeToken(ctx, &authv1.ExchangeTokenRequest{SubjectToken: strings.TrimSpace(string(raw))})
	if err != nil {
		return err
	}
	l.Tenant, l.User, l.Token, l.Expires = got.GetTenant(), got.GetUsername(), got.GetAccessToken(), ends(got.GetExpireTime())
	return nil
}
