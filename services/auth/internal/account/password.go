package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// HashParams is how much work a password hash is (RFC 9106).
type HashParams struct {
	MemoryKiB uint32
	Passes    uint32
	Lanes     uint8
}

// DefaultHashParams is the first choice of OWASP's password storage cheat
// sheet for argon2id: about 30 ms and 19 MiB.
var DefaultHashParams = HashParams{MemoryKiB: 19 << 10, Passes: 2, Lanes: 1}

const (
	saltSize = 16
	hashSize = 32
	// hashSlots hashes run at once, so that logins take at most twice
	// DefaultHashParams.MemoryKiB and leave processors to others.
	hashSlots = 2
	// What a stored hash may ask of us: a mistake in the store must not take
	// the process down.
	maxMemoryKiB = 1 << 20
	maxPasses    = 64
)

// Hasher makes and checks password hashes, a few at a time. It is safe for
// concurrent use.
type Hasher struct {
	params HashParams
	turns  *turns
	nobody string // a hash that no password has
}

// NewHasher makes a hasher; zero params mean DefaultHashParams.
func NewHasher(params HashParams) *Hasher {
	if params == (HashParams{}) {
		params = DefaultHashParams
	}
	return &Hasher{
		params: params,
		turns:  newTurns(hashSlots),
		nobody: encode(params, make([]byte, saltSize), make([]byte, hashSize)),
	}
}

// Waiting is how many callers wait for their turn.
func (h *Hasher) Waiting() int { return h.turns.waiting() }

// Hash makes the text to store for a password; parameters and a fresh salt are
// part of it (PHC string format). It gives fault.Exhausted when too many wait.
func (h *Hasher) Hash(ctx context.Context, place Place, password string) (string, error) {
	leave, err := h.turns.enter(ctx, place)
	if err != nil {
		return "", err
	}
	defer leave()
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails (crypto/rand)
	return encode(h.params, salt, h.params.hash(password, salt)), nil
}

// Verify tells whether stored was made from password. An empty stored stands
// for a user that does not exist: it is never right, and takes as long to find
// out. It gives fault.Exhausted when too many wait.
func (h *Hasher) Verify(ctx context.Context, place Place, password, stored string) (bool, error) {
	known := stored != ""
	if !known {
		stored = h.nobody
	}
	params, salt, want, err := decode(stored)
	if err != nil {
		return false, err
	}
	leave, err := h.turns.enter(ctx, place)
	if err != nil {
		return false, err
	}
	defer leave()
	same := subtle.ConstantTimeCompare(params.hash(password, salt), want) == 1
	return same && known, nil
}

// Outdated tells whether stored was made with other parameters than today's.
func (h *Hasher) Outdated(stored string) bool {
	params, _, _, err := decode(stored)
	return err == nil && params != h.params
}

func (p HashParams) hash(password string, salt []byte) []byte {
	return argon2.IDKey([]byte(password), salt, p.Passes, p.MemoryKiB, p.Lanes, hashSize)
}

func encode(p HashParams, salt, hash []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.MemoryKiB, p.Passes, p.Lanes,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(hash))
}

var errHash = errors.New("stored password hash is malformed")

func decode(stored string) (p HashParams, salt, hash []byte, err error) {
	parts := strings.Split(stored, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return p, nil, nil, errHash
	}
	numbers := strings.Split(parts[3], ",")
	if len(numbers) != 3 {
		return p, nil, nil, errHash
	}
	m, err1 := number(numbers[0], "m=", maxMemoryKiB)
	t, err2 := number(numbers[1], "t=", maxPasses)
	l, err3 := number(numbers[2], "p=", 255)
	salt, err4 := base64.RawStdEncoding.DecodeString(parts[4])
	hash, err5 := base64.RawStdEncoding.DecodeString(parts[5])
	if errors.Join(err1, err2, err3, err4, err5) != nil || len(salt) == 0 || len(hash) != hashSize {
		return p, nil, nil, errHash
	}
	return HashParams{MemoryKiB: m, Passes: t, Lanes: uint8(l)}, salt, hash, nil //nolint:gosec // at most 255
}

func number(text, prefix string, limit uint64) (uint32, error) {
	digits, ok := strings.CutPrefix(text, prefix)
	n, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil || n == 0 || n > limit {
		return 0, errHash
	}
	return uint32(n), nil
}
