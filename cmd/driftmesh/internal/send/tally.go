package send

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"

	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// Tally counts what was refused, here and by the server, by kind.
type Tally struct {
	kinds   []tallied
	skipped []int // rows that were not sent, ascending, from 0
	plan    *Plan
}

type tallied struct {
	what, example string
	rows          uint64
	first         int // from 1
}

// NewTally counts the refusals of a plan's records.
func NewTally(p *Plan) *Tally { return &Tally{plan: p} }

// Skip counts a row, from 0, that was not sent.
func (t *Tally) Skip(row int, p *Problem) {
	t.skipped = append(t.skipped, row)
	t.add(fmt.Sprintf("column %q %s", p.Column, p.Kind), p.Value, row+1)
}

// Skipped is how many rows were not sent.
func (t *Tally) Skipped() int { return len(t.skipped) }

func (t *Tally) add(what, example string, row int) {
	i := slices.IndexFunc(t.kinds, func(k tallied) bool { return k.what == what })
	if i < 0 {
		i = len(t.kinds)
		t.kinds = append(t.kinds, tallied{what: what, example: example, first: row})
	}
	t.kinds[i].rows++
}

// row is the number, from 1, of the row that was sent as the index-th record.
func (t *Tally) row(index int) int {
	row := index
	for _, skipped := range t.skipped {
		if skipped > row {
			break
		}
		row++
	}
	return row + 1
}

// place is how the server names a value: by its position among the features.
var place = regexp.MustCompile(`^(?:features|labels)\.values\[(\d+)\]\.\w+$`)

// Refused counts what the server says.
func (t *Tally) Refused(answer *ingestv1.StreamRecordsResponse) {
	var features []string
	for i, role := range t.plan.roles {
		if role == feature {
			features = append(features, t.plan.names[i])
		}
	}
	for _, r := range answer.GetRejections() {
		field := r.GetField()
		if m := place.FindStringSubmatch(field); m != nil {
			if i, err := strconv.Atoi(m[1]); err == nil && i < len(features) {
				field = fmt.Sprintf("column %q", features[i])
			}
		}
		what := r.GetMessage() + " (" + r.GetReason() + ")"
		if field != "" {
			what = field + ": " + what
		}
		t.add(what, "", t.row(int(r.GetIndex())))
	}
	if more := answer.GetRejected() - uint64(len(answer.GetRejections())); more > 0 {
		t.kinds = append(t.kinds, tallied{what: "refused too; the server tells why of the first hundred only", rows: more})
	}
}

// exampleShown bounds the bytes of an example.
const exampleShown = 50

// Print prints a line for each kind.
func (t *Tally) Print(out io.Writer) {
	for _, k := range t.kinds {
		where := fmt.Sprintf("row %d", k.first)
		switch {
		case k.first == 0:
			where = fmt.Sprintf("%d more rows", k.rows)
		case k.rows > 1:
			where = fmt.Sprintf("%d rows, the first is %d", k.rows, k.first)
		}
		example := ""
		if k.example != "" {
			example = fmt.Sprintf(": %.*q", exampleShown, k.example)
		}
		fmt.Fprintf(out, "  %s: %s%s\n", where, k.what, example)
	}
}
