package window

// Counts adds up what was counted in all windows: for each feature an element for
// each bin, regular and special, and the number of records.
func (t *Tally) Counts() (counts [][]uint64, records uint64) {
	counts = make([][]uint64, len(t.of.plan.features))
	for feature, at := range t.of.plan.features {
		counts[feature] = make([]uint64, at.cells)
		for _, w := range t.panes {
			for i, c := range w.cells[at.first : at.first+at.cells] {
				counts[feature][i] += c.count
			}
		}
	}
	for _, w := range t.panes {
		records += w.records
	}
	return counts, records
}
