package frontier

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestState(t *testing.T) {
	t.Parallel()
	for n := range 300 {
		want := State{Open: rand.N(2) == 0, Settled: make([]bool, rand.N(Span)), Attempts: map[int]int{}}
		if n%2 == 0 {
			want.Topic, want.Behind = [16]byte{1, byte(n), 255}, rand.N(int64(1<<40))
		}
		bias := rand.Float64()
		for i := range want.Settled {
			want.Settled[i] = rand.Float64() < bias
		}
		for range rand.N(20) {
			if n := len(want.Settled); n > 0 {
				want.Attempts[rand.N(n)] = 2 + rand.N(30)
			}
		}
		want.Waiting = len(want.Settled) / 2
		text := want.Encode()
		require.LessOrEqual(t, len(text), MetadataMax)
		got, err := Decode(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestStateThatFillsItsRoom(t *testing.T) {
	t.Parallel()
	worst := State{Settled: make([]bool, Span), Attempts: map[int]int{}, Topic: [16]byte{1}, Behind: 1 << 62}
	for i := range worst.Settled {
		worst.Settled[i] = i%2 == 1
		worst.Attempts[i] = 2 + i%100
	}
	text := worst.Encode()
	require.LessOrEqual(t, len(text), MetadataMax)
	got, err := Decode(text)
	require.NoError(t, err)
	require.Equal(t, worst.Settled, got.Settled)
	require.Equal(t, 3, got.Attempts[1], "the first attempts are kept")
}

func TestStateOfEarlierVersions(t *testing.T) {
	t.Parallel()
	got, err := Decode("driftmesh1:AQQBAQIB") // open; four, of which the middle two are settled; one waits
	require.NoError(t, err)
	require.True(t, got.Open)
	require.Equal(t, []bool{false, true, true, false}, got.Settled)
	require.Equal(t, 1, got.Waiting)
	require.Zero(t, got.Topic)
	_, err = Decode("consumed by somebody else")
	require.Error(t, err)
}

func FuzzDecode(f *testing.F) {
	f.Add("")
	f.Add((&State{Open: true, Waiting: 1, Settled: []bool{false, true, true, false}, Attempts: map[int]int{3: 7}}).Encode())
	f.Add((&State{Topic: [16]byte{7}, Behind: 300, Settled: []bool{true}}).Encode())
	f.Add(stateMark + "AgAA")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Decode(text)
		if err != nil {
			return
		}
		again, err := Decode(s.Encode())
		require.NoError(t, err)
		require.Equal(t, append([]bool{}, s.Settled...), append([]bool{}, again.Settled...))
		require.Equal(t, s.Topic, again.Topic)
	})
}
