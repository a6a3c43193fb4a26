package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
)

// keptLogins are the logins that are kept in a file, by the address of the mesh.
type keptLogins struct {
	Meshes map[string]*keptLogin `json:"meshes"`
	// Devices are what earlier logins gave, by address and user; see LoginRequest.
	Devices map[string]string `json:"devices,omitempty"`
}

// keptLogin is one login.
type keptLogin struct {
	Tenant  string    `json:"tenant"`
	User    string    `json:"user"`
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
	Refresh string    `json:"refresh"`
	Ends    time.Time `json:"session_ends"`
	// WorkloadFile has the token that is exchanged for the next; empty where there is
	// Refresh.
	WorkloadFile string `json:"workload_token_file,omitempty"`
}

// device is the key of keptLogins.Devices.
func device(addr, tenant, user string) string { return addr + " " + tenant + "/" + user }

// keyring is the file of logins. Others who are logged in to this machine cannot
// read it; it is changed as a whole, by one program at a time.
type keyring struct{ path string }

// keyring is the one that the flags name.
func (c connectFlags) keyring() (keyring, error) {
	if c.Credentials != "" {
		return keyring{c.Credentials}, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return keyring{}, fmt.Errorf("find the file of logins (give it with --credentials): %w", err)
	}
	return keyring{filepath.Join(dir, "driftmesh", "credentials.json")}, nil
}

// read gives what is kept; nothing when there is no file.
func (k keyring) read() (*keptLogins, error) {
	kept := &keptLogins{Meshes: map[string]*keptLogin{}, Devices: map[string]string{}}
	info, err := os.Stat(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return kept, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read logins: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fault.Precondition.New("others can read the logins in %s: chmod 600 it, and log in again", k.path)
	}
	raw, err := os.ReadFile(k.path)
	if err != nil {
		return nil, fmt.Errorf("read logins: %w", err)
	}
	if err := json.Unmarshal(raw, kept); err != nil {
		return nil, fmt.Errorf("read logins from %s: %w", k.path, err)
	}
	return kept, nil
}

// update changes what is kept. Only one program at a time is in change, which may
// ask the mesh: a refresh token is good once.
func (k keyring) update(change func(*keptLogins) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(k.path), 0o700); err != nil {
		return fmt.Errorf("keep login: %w", err)
	}
	lock, err := os.OpenFile(k.path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("keep login: %w", err)
	}
	defer lock.Close() //nolint:errcheck // which gives the lock back
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("keep login: %w", err)
	}
	kept, err := k.read()
	if err != nil {
		return err
	}
	if err := change(kept); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(kept, "", "  ")
	if err != nil {
		return fmt.Errorf("keep login: %w", err)
	}
	return k.write(raw)
}

// write puts the file in place whole, or not at all.
func (k keyring) write(raw []byte) error {
	partial, err := os.CreateTemp(filepath.Dir(k.path), ".credentials-*") // mode 0600
	if err != nil {
		return fmt.Errorf("keep login: %w", err)
	}
	_, err = partial.Write(append(raw, '\n'))
	err = errors.Join(err, partial.Sync(), partial.Close())
	if err == nil {
		err = os.Rename(partial.Name(), k.path)
	}
	if err != nil {
		_ = os.Remove(partial.Name())
		return fmt.Errorf("keep login: %w", err)
	}
	return nil
}

// soon is how long before its end a token is exchanged for the next.
const soon = 30 * time.Second

// keptToken gives the access token of the login that is kept for an address, a
// new one if it is about to end; "" when nobody is logged in there.
func (c connectFlags) keptToken(ctx context.Context) (string, error) {
	ring, err := c.keyring()
	if err != nil {
		return "", nil //nolint:nilerr // where no login can be kept, as in a container without a home, none is
	}
	kept, err := ring.read()
	if err != nil {
		return "", err
	}
	login := kept.Meshes[c.Addr]
	if login == nil || login.fresh() {
		return login.token(), nil
	}
	var ended error
	err = ring.update(func(kept *keptLogins) error {
		// Another program may have been faster.
		if login = kept.Meshes[c.Addr]; login == nil || login.fresh() {
			return nil
		}
		err := c.refresh(ctx, login)
		if errors.Is(err, fault.Unauthenticated) || errors.Is(err, fault.Denied) {
			if ended = err; login.WorkloadFile == "" { // a workload gets another token by and by
				delete(kept.Meshes, c.Addr)
			}
			login = nil
			return nil
		}
		return err
	})
	if ended != nil {
		return "", fault.Unauthenticated.Wrap(ended, "you are not logged in any more (%s): driftmesh login", fault.Of(ended).Message())
	}
	return login.token(), err
}

func (l *keptLogin) fresh() bool { return time.Until(l.Expires) > soon }

func (l *keptLogin) token() string {
	if l == nil {
		return ""
	}
	return l.Token
}

// refresh exchanges the refresh token of a login.
func (c connectFlags) refresh(ctx context.Context, login *keptLogin) error {
	conn, err := c.dialAsNobody()
	if err != nil {
		return err
	}
	defer conn.Close()
	if login.WorkloadFile != "" {
		return login.exchange(ctx, authv1.NewAuthServiceClient(conn))
	}
	next, err := authv1.NewAuthServiceClient(conn).RefreshToken(ctx, &authv1.RefreshTokenRequest{RefreshToken: login.Refresh})
	if err != nil {
		return err
	}
	login.Token, login.Refresh = next.GetToken(), next.GetRefreshToken()
	login.Expires, login.Ends = ends(next.GetExpireTime()), ends(next.GetSessionExpireTime())
	return nil
}

func ends(t *timestamppb.Timestamp) time.Time { return t.AsTime() }

// keep keeps a login.
func (c connectFlags) keep(tenant, user string, login *authv1.LoginResponse) error {
	ring, err := c.keyring()
	if err != nil {
		return err
	}
	return ring.update(func(kept *keptLogins) error {
		kept.Meshes[c.Addr] = &keptLogin{
			Tenant: tenant, User: user, Token: login.GetToken(), Expires: ends(login.GetExpireTime()),
			Refresh: login.GetRefreshToken(), Ends: ends(login.GetSessionExpireTime()),
		}
		kept.Devices[device(c.Addr, tenant, user)] = login.GetDevice()
		return nil
	})
}

// knownDevice is what an earlier login of a user gave.
func (c connectFlags) knownDevice(tenant, user string) string {
	ring, err := c.keyring()
	if err != nil {
		return ""
	}
	kept, err := ring.read()
	if err != nil {
		return ""
	}
	return kept.Devices[device(c.Addr, tenant, user)]
}

// callerCredentials attaches to every call what the user gave, or else the login
// that is kept.
type callerCredentials struct {
	flags connectFlags

	mu sync.Mutex // so that calls at the same time wait for one refresh
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (c *callerCredentials) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	md := map[string]string{}
	token, key := c.flags.Token.Reveal(), c.flags.APIKey.Reveal()
	if token == "" && key == "" {
		c.mu.Lock()
		defer c.mu.Unlock()
		var err error
		if token, err = c.flags.keptToken(ctx); err != nil {
			return nil, err
		}
	}
	if token != "" {
		md["authorization"] = "Bearer " + token
	}
	if key != "" {
		md["x-api-key"] = key
	}
	return md, nil
}

// RequireTransportSecurity is false: a mesh on loopback has none.
func (c *callerCredentials) RequireTransportSecurity() bool { return false }
