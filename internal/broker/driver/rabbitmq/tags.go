package rabbitmq

// tags knows which deliveries of a channel are settled: all up to low, and some
// beyond. The broker counts deliveries of a channel from 1, and closes it when
// one is settled twice.
type tags struct {
	low    uint64
	beyond map[uint64]struct{}
}

func (t *tags) settled(tag uint64) bool {
	if tag <= t.low {
		return true
	}
	_, ok := t.beyond[tag]
	return ok
}

// settle notes that a delivery is settled.
func (t *tags) settle(tag uint64) {
	if tag == t.low+1 {
		t.low++
		for len(t.beyond) > 0 {
			if _, ok := t.beyond[t.low+1]; !ok {
				break
			}
			delete(t.beyond, t.low+1)
			t.low++
		}
		return
	}
	if t.beyond == nil {
		t.beyond = map[uint64]struct{}{}
	}
	t.beyond[tag] = struct{}{}
}

// plan settles all of want that are not, and says how to tell the broker: one
// settlement of everything up to multiple, 0 for none, and single ones. What
// lies below multiple is settled or among want.
func (t *tags) plan(want []uint64) (multiple uint64, single []uint64) {
	open := want[:0:0]
	for _, tag := range want {
		if !t.settled(tag) {
			open = append(open, tag)
			t.settle(tag)
		}
	}
	for _, tag := range open {
		if tag <= t.low {
			multiple = max(multiple, tag)
		} else {
			single = append(single, tag)
		}
	}
	return multiple, single
}
