package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/audit"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// chain is an export of n entries with a checkpoint after every third and the last.
func chain(t *testing.T, n int) ([]byte, audit.Checkpoint) {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	var out bytes.Buffer
	var head audit.Head
	var last audit.Checkpoint
	for i := 1; i <= n; i++ {
		e := audit.Entry{
			ID: strings.Repeat("i", i), Time: noon.Add(time.Duration(i) * time.Second), Tenant: "acme", Actor: "ada", Kind: "user", Home: "acme",
			Source: "192.0.2.1:5000", Action: "CreateProfile", Object: "s/a/1", Outcome: audit.OK, Reason: "", Count: 1, Trace: "00ff",
		}
		e.Trim()
		link := head.Add(e)
		require.NoError(t, audit.Write(&out, audit.Line{Entry: &link}))
		if i%3 == 0 || i == n {
			last = audit.Sign(head, noon, key)
			require.NoError(t, audit.Write(&out, audit.Line{Checkpoint: &last}))
		}
	}
	return out.Bytes(), last
}

func TestAChainIsWhatWasWritten(t *testing.T) {
	export, last := chain(t, 8)
	verdict, err := new(audit.Verifier).Verify(bytes.NewReader(export))
	require.NoError(t, err)
	require.EqualValues(t, 8, verdict.Head.Seq)
	require.Equal(t, verdict.Head, verdict.Signed)
	require.Equal(t, 3, verdict.Checkpoints)
	require.Equal(t, []string{audit.Fingerprint(last.Key)}, verdict.Keys)

	believed := audit.Verifier{Keys: verdict.Keys, Known: []audit.Checkpoint{last}}
	_, err = believed.Verify(bytes.NewReader(export))
	require.NoError(t, err)
	stranger := audit.Verifier{Keys: []string{"0123456789abcdef"}}
	_, err = stranger.Verify(bytes.NewReader(export))
	require.ErrorContains(t, err, "not among the keys that are believed")
}

// Whatever byte of the export is changed: it is refused, or says the same.
func TestEveryChangedByteIsFound(t *testing.T) {
	export, last := chain(t, 4)
	want, err := new(audit.Verifier).Verify(bytes.NewReader(export))
	require.NoError(t, err)
	for i := range export {
		for _, flip := range []byte{0x01, 0x20, 0x80} {
			changed := bytes.Clone(export)
			changed[i] ^= flip
			v := audit.Verifier{Keys: want.Keys, Known: []audit.Checkpoint{last}}
			got, err := v.Verify(bytes.NewReader(changed))
			// JSON's names of fields do not know case: nothing has changed then.
			if err == nil && !bytes.EqualFold(changed, export) {
				require.Equal(t, want, got)
				require.Fail(t, "not found", "byte %d: %q", i, changed[max(i-40, 0):min(i+40, len(changed))])
			}
		}
	}
}

func TestWhatIsLeftOutPutInOrMovedIsFound(t *testing.T) {
	export, last := chain(t, 6)
	lines := strings.SplitAfter(strings.TrimSuffix(string(export), "\n"), "\n")
	lines[len(lines)-1] += "\n"
	verify := func(lines ...string) error {
		v := audit.Verifier{Keys: []string{audit.Fingerprint(last.Key)}, Known: []audit.Checkpoint{last}}
		_, err := v.Verify(strings.NewReader(strings.Join(lines, "")))
		return err
	}
	require.NoError(t, verify(lines...))
	for i := range lines {
		if !strings.Contains(lines[i], "entry") {
			continue
		}
		without := append(append([]string{}, lines[:i]...), lines[i+1:]...)
		require.Error(t, verify(without...), "line %d left out", i)
		twice := append(append([]string{}, lines[:i+1]...), lines[i:]...)
		require.Error(t, verify(twice...), "line %d twice", i)
	}
	require.ErrorContains(t, verify(lines[:2]...), "the end is missing")
	require.Error(t, verify(append([]string{lines[1], lines[0]}, lines[2:]...)...))

	// Whoever computes every hash anew still cannot sign.
	forged, _ := chain(t, 6)
	forged = bytes.ReplaceAll(forged, []byte("ada"), []byte("eve"))
	require.Error(t, verify(string(forged)))
}

func TestTwoEntriesAreNeverTheSameBytes(t *testing.T) {
	a := audit.Entry{Actor: "ab", Kind: "c"}
	b := audit.Entry{Actor: "a", Kind: "bc"}
	require.NotEqual(t, a.Sum(1, audit.Hash{}), b.Sum(1, audit.Hash{}))
	require.NotEqual(t, a.Sum(1, audit.Hash{}), a.Sum(2, audit.Hash{}))
}

// The hash is part of a format that outlives releases.
func TestTheHashStays(t *testing.T) {
	export, last := chain(t, 2)
	_, err := new(audit.Verifier).Verify(bytes.NewReader(export))
	require.NoError(t, err)
	require.Equal(t, golden, last.Hash.String())
}

func TestTrim(t *testing.T) {
	e := audit.Entry{ID: "i", Action: strings.Repeat("é", 400), Object: "a\xffb", Time: noon.Add(time.Nanosecond)}
	e.Trim()
	require.Equal(t, strings.Repeat("é", 256), e.Action)
	require.Equal(t, "a\uFFFDb", e.Object)
	require.Equal(t, noon, e.Time)
	require.EqualValues(t, 1, e.Count)
	odd := audit.Entry{ID: "x" + strings.Repeat("é", 400)}
	odd.Trim()
	require.Equal(t, "x"+strings.Repeat("é", 255), odd.ID)
}

func FuzzVerify(f *testing.F) {
	f.Add([]byte(`{"entry":{"seq":1}}`))
	f.Add([]byte(`{"checkpoint":{"seq":0,"key":"","signature":""}}`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = new(audit.Verifier).Verify(bytes.NewReader(data))
	})
}

// golden was computed apart from this package, with Python's hashlib and struct.
const golden = "0c49034dc8e6efa5bfd09cd140f926057bef81c3f1bfd1334918cb399950abf9"
