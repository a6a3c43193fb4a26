package profile

import "cmp"

// Texts makes strings of the texts of one column, each different one once, for
// a column that [Builder.Add] gets. A profile takes no column with more than
// [MaxBins] different texts: it holds one more, by which the column is refused,
// and gives the last of them for every other, so that the memory has a bound.
type Texts struct {
	// Different is another number of texts to hold; 0 means MaxBins + 1.
	Different int

	known map[string]string
	last  string
}

// sharedTexts is how many texts are held to be shared where all are kept.
const sharedTexts = 4 * MaxBins

// Of is the text as a string.
func (t *Texts) Of(text []byte) string {
	if s, ok := t.known[string(text)]; ok {
		return s
	}
	if t.known == nil {
		t.known = make(map[string]string)
	}
	if len(t.known) == cmp.Or(t.Different, MaxBins+1) {
		return t.last
	}
	t.last = string(text)
	if len(t.known) < sharedTexts {
		t.known[t.last] = t.last
	}
	return t.last
}
