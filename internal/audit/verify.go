package audit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Line is a line of an exported chain: one of its two parts.
type Line struct {
	Entry      *Link       `json:"entry,omitempty"`
	Checkpoint *Checkpoint `json:"checkpoint,omitempty"`
}

// maxLine bounds a line that is read: texts are bounded, and JSON may write six
// bytes for one.
const maxLine = 128 << 10

// Write writes a line.
func Write(to io.Writer, l Line) error {
	text, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("encode audit line: %w", err)
	}
	_, err = to.Write(append(text, '\n'))
	return err
}

// Verdict is what a chain was found to be.
type Verdict struct {
	// Head is where it ends, and Signed what the last checkpoint vouches for.
	Head, Signed Head
	// Checkpoints counts them, and Keys are the fingerprints of who signed, in the
	// order in which they appear.
	Checkpoints int
	Keys        []string
}

// Verifier follows a chain from its first entry.
type Verifier struct {
	// Keys, if there are any, are the fingerprints that are believed; else any is,
	// and the verdict says which signed.
	Keys []string
	// Known are checkpoints that were kept elsewhere: the chain must contain them.
	Known []Checkpoint

	verdict Verdict
}

// Take takes the next line in. The error is fault.Invalid, names the entry, and is
// the end.
func (v *Verifier) Take(l Line) error {
	switch {
	case l.Entry != nil && l.Checkpoint == nil:
		return v.entry(l.Entry)
	case l.Checkpoint != nil && l.Entry == nil:
		return v.checkpoint(l.Checkpoint)
	}
	return fault.Invalid.New("audit chain: after entry %d stands what is neither an entry nor a checkpoint", v.verdict.Head.Seq)
}

func (v *Verifier) entry(l *Link) error {
	head := &v.verdict.Head
	if l.Seq != head.Seq+1 {
		return fault.Invalid.New("audit chain: entry %d stands where %d should", l.Seq, head.Seq+1)
	}
	if want := l.Sum(l.Seq, head.Hash); want != l.Hash {
		return fault.Invalid.New("audit chain: entry %d is not what was written, or what stands before it is not: its hash is %s, not %s", l.Seq, want, l.Hash)
	}
	head.Seq, head.Hash = l.Seq, l.Hash
	for _, known := range v.Known {
		if known.Seq == l.Seq && known.Hash != l.Hash {
			return fault.Invalid.New("audit chain: entry %d is not the one that was signed on %s", l.Seq, known.Time)
		}
	}
	return nil
}

func (v *Verifier) checkpoint(c *Checkpoint) error {
	if err := c.Check(); err != nil {
		return err
	}
	if c.Head != v.verdict.Head {
		return fault.Invalid.New("audit chain: a checkpoint signs entry %d with hash %s, and the chain is at %d with %s",
			c.Seq, c.Hash, v.verdict.Head.Seq, v.verdict.Head.Hash)
	}
	signer := Fingerprint(c.Key)
	if len(v.Keys) > 0 && !slices.Contains(v.Keys, signer) {
		return fault.Invalid.New("audit chain: the checkpoint at entry %d is signed by %s, which is not among the keys that are believed", c.Seq, signer)
	}
	v.verdict.Signed = c.Head
	v.verdict.Checkpoints++
	if !slices.Contains(v.verdict.Keys, signer) {
		v.verdict.Keys = append(v.verdict.Keys, signer)
	}
	return nil
}

// End says what the chain was found to be, now that all of it was taken in.
func (v *Verifier) End() (Verdict, error) {
	for _, known := range v.Known {
		if err := known.Check(); err != nil {
			return v.verdict, err
		}
		if known.Seq > v.verdict.Head.Seq {
			return v.verdict, fault.Invalid.New("audit chain: it ends at entry %d, but entry %d was signed on %s: the end is missing",
				v.verdict.Head.Seq, known.Seq, known.Time)
		}
	}
	return v.verdict, nil
}

// Verify reads an exported chain to its end.
func (v *Verifier) Verify(from io.Reader) (Verdict, error) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		var l Line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return v.verdict, fault.Invalid.Wrap(err, "audit chain: line %d is not JSON of a chain", n)
		}
		if err := v.Take(l); err != nil {
			return v.verdict, err
		}
	}
	if err := lines.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			err = fault.Invalid.Wrap(err, "audit chain: a line is longer than %d bytes", maxLine)
		}
		return v.verdict, err
	}
	return v.End()
}
