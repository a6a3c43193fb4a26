package account

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
)

// NewPassword makes a password that nobody can guess: 100 random bits, in groups
// that can be read over the telephone.
func NewPassword() string {
	var random [13]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	text := strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(random[:]))
	return text[:5] + "-" + text[5:10] + "-" + text[10:15] + "-" + text[15:20]
}
