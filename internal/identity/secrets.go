package identity

import (
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/settings"
	"github.com/driftmesh/driftmesh/internal/telemetry"
)

// lookEvery is how often a file of secrets is looked at: how long a new one takes
// to be known everywhere.
const lookEvery = time.Second

// Secrets are the mesh secret, of which there may be several: the first signs,
// and what any of them signed is believed. A file of them is read anew when it
// changes. It is safe for concurrent use.
type Secrets struct {
	path   string
	log    *slog.Logger
	list   atomic.Pointer[secretList]
	looked atomic.Int64 // Unix nanoseconds
	mu     sync.Mutex   // of who looks
	seen   fs.FileInfo
}

// secretList is immutable.
type secretList struct{ secrets [][]byte }

// OpenSecrets takes up the setting. It gives fault.Invalid when there is none, or
// one is shorter than MinSecret.
func OpenSecrets(setting settings.Secrets, log *slog.Logger) (*Secrets, error) {
	list, err := checked(setting.List())
	if err != nil {
		return nil, err
	}
	s := &Secrets{path: setting.Path(), log: log}
	s.list.Store(list)
	return s, nil
}

// FixedSecrets are secrets that do not change.
func FixedSecrets(list ...[]byte) (*Secrets, error) {
	var fixed []settings.Secret
	for _, one := range list {
		fixed = append(fixed, settings.Secret(one))
	}
	return OpenSecrets(settings.SecretsOf(fixed...), slog.New(slog.DiscardHandler))
}

func checked(list []settings.Secret) (*secretList, error) {
	if len(list) == 0 {
		list = []settings.Secret{""}
	}
	out := &secretList{}
	for _, one := range list {
		if len(one) < MinSecret {
			return nil, shortSecret(len(one))
		}
		out.secrets = append(out.secrets, []byte(one.Reveal()))
	}
	return out, nil
}

func shortSecret(n int) error {
	return fault.Invalid.New("mesh secret has %d bytes, want at least %d", n, MinSecret).WithReason("MESH_SECRET_SHORT")
}

// current is the list as it is now. A file that cannot be used changes nothing.
func (s *Secrets) current() *secretList {
	now := time.Now().UnixNano()
	if s.path != "" && now-s.looked.Load() >= int64(lookEvery) && s.mu.TryLock() {
		s.looked.Store(now)
		s.look()
		s.mu.Unlock()
	}
	return s.list.Load()
}

func (s *Secrets) look() {
	info, err := os.Stat(s.path)
	if err == nil && s.seen != nil && os.SameFile(info, s.seen) && info.ModTime().Equal(s.seen.ModTime()) && info.Size() == s.seen.Size() {
		return
	}
	if err != nil {
		if s.seen != nil {
			s.log.Warn("the mesh secret that was there is kept", telemetry.Err(err))
		}
		s.seen = nil
		return
	}
	s.seen = info
	read, err := settings.ReadSecrets(s.path)
	var list *secretList
	if err == nil {
		list, err = checked(read)
	}
	if err != nil {
		s.log.Warn("the mesh secret that was there is kept", telemetry.Err(err))
		return
	}
	s.list.Store(list)
}

// First is the secret in use.
func (s *Secrets) First() []byte { return s.current().secrets[0] }

// All are all that are good, the one in use first.
func (s *Secrets) All() [][]byte { return s.current().secrets }

// Keys derives the keys of one purpose.
func (s *Secrets) Keys(purpose string) *Keys { return &Keys{secrets: s, purpose: purpose} }

// Keys are 32-byte keys for one purpose (DeriveKey), one of each secret. It is
// safe for concurrent use.
type Keys struct {
	secrets *Secrets
	purpose string
	known   atomic.Pointer[derived]
}

type derived struct {
	of   *secretList
	keys [][]byte
}

// All are the keys as they are now: the first signs, and all verify. They are not
// to be changed.
func (k *Keys) All() [][]byte {
	list := k.secrets.current()
	if known := k.known.Load(); known != nil && known.of == list {
		return known.keys
	}
	fresh := &derived{of: list}
	for _, secret := range list.secrets {
		key, err := DeriveKey(secret, k.purpose)
		if err != nil {
			continue // they are long enough, and HKDF does not fail for 32 bytes
		}
		fresh.keys = append(fresh.keys, key)
	}
	k.known.Store(fresh)
	return fresh.keys
}
