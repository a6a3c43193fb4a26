package weak_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/services/auth/internal/weak"
)

func TestWeakPasswords(t *testing.T) {
	for password, want := range map[string]string{
		"password":           "others guess first",
		"Password1":          "others guess first",
		"P@ssw0rd":           "others guess first",
		"p4ssw0rd2026!":      "others guess first",
		"iloveyou":           "others guess first",
		"letmein123":         "others guess first",
		"Trustno1":           "others guess first",
		"elephant42":         "others guess first",
		"!Elizabeth1990":     "others guess first",
		"dragondragon":       "others guess first",
		"monkeymonkeymonkey": "others guess first",
		"1q2w3e4r":           "others guess first",
		"12345678":           "row of keys",
		"abcdefghij":         "row of keys",
		"qwertyuiop":         "row of keys",
		"asdfghjkl1":         "row of keys",
		"987654321":          "row of keys",
		"aaaaaaaaaaaa":       "too few different",
		"abababababab":       "too few different",
		"acme2026":           "name of the user",
		"Annabel.acme":       "name of the user",
		"password.acme":      "others guess first",
	} {
		got := weak.Reason(password, "annabel", "acme")
		require.Contains(t, got, want, password)
		require.NotContains(t, got, password)
	}
	for _, good := range []string{
		"correct horse", "correct horse battery staple", "mV8#qLp2", "ann's other password", "Donaudampfschiff-fährt",
		"elephant837264", "acme and its five mice", "日本語のパスワード",
	} {
		require.Empty(t, weak.Reason(good, "annabel", "acme"), good)
	}
	require.Empty(t, weak.Reason("iridescent al fresco", "al"), "so short a name is in too many words")
}

// Few good passwords may be refused by the filter's nature: here 14 probes at 20
// bits a word, by the formula (1-e^(-kn/m))^k, are one in 15,000.
func TestTheListRefusesFewGoodPasswords(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same words each time
	refused := 0
	for range 100_000 {
		var b strings.Builder
		for range 12 {
			b.WriteByte(byte('!' + random.IntN('~'-'!')))
		}
		if weak.Reason(b.String()) != "" {
			refused++
		}
	}
	require.Less(t, refused, 40)
}

func FuzzReason(f *testing.F) {
	f.Add("", "")
	f.Add("P@ssw0rd", "ann")
	f.Fuzz(func(t *testing.T, password, name string) {
		if reason := weak.Reason(password, name); len(password) > 20 && strings.Contains(reason, password) {
			t.Fatal("a reason quotes the password")
		}
	})
}
