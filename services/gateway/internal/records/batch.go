package records

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// maxDescribed is how many refused records an answer describes.
const maxDescribed = 100

// verdict is what became of one batch at the door.
type verdict struct {
	good     []*ingestv1.Record
	index    []int // of good, in the batch
	rejected tally
}

// tally counts refused records and describes the first of them.
type tally struct {
	count     uint64
	byReason  map[string]uint64
	described []*ingestv1.Rejection
}

func (t *tally) add(i int, r *ingestv1.Record, no *refusal) {
	t.count++
	if t.byReason == nil {
		t.byReason = map[string]uint64{}
	}
	t.byReason[no.reason]++
	if len(t.described) < maxDescribed {
		t.described = append(t.described, &ingestv1.Rejection{
			Index: uint32(i), RecordId: clip(r.GetId()), Field: no.field, Reason: no.reason, Message: no.message,
		})
	}
}

// recordKey is what names a record within its tenant.
type recordKey struct{ profile, id string }

// sift checks a batch and makes its good records whole: id, event time and the
// profile's uid. It gives an error, and no verdict, when a profile cannot be
// looked up now.
func (s *Service) sift(ctx context.Context, tenant string, batch []*ingestv1.Record) (*verdict, error) {
	c := checker{limits: s.limits, now: s.now(), maxRecord: s.maxRecord(), names: map[string]struct{}{}}
	v := &verdict{good: make([]*ingestv1.Record, 0, len(batch)), index: make([]int, 0, len(batch))}
	profiles := map[string]*Profile{} // nil: unknown
	seen := make(map[recordKey]struct{}, len(batch))
	for i, r := range batch {
		if i >= s.limits.MaxRecords {
			v.rejected.add(i, r, refuse("", ReasonTooMany, "a batch may have at most %d records", s.limits.MaxRecords))
			continue
		}
		no := c.header(r)
		if no == nil {
			no = manyProfiles(profiles, r.GetProfile())
		}
		if no == nil {
			p, err := s.profile(ctx, tenant, r.GetProfile(), profiles)
			if err != nil {
				return nil, err
			}
			no = s.whole(c, r, p, seen)
		}
		if no != nil {
			v.rejected.add(i, r, no)
			continue
		}
		v.good, v.index = append(v.good, r), append(v.index, i)
	}
	return v, nil
}

// maxProfiles bounds what one batch can make the door ask drift for.
const maxProfiles = 256

func manyProfiles(known map[string]*Profile, name string) *refusal {
	if _, ok := known[name]; ok || len(known) < maxProfiles {
		return nil
	}
	return refuse("profile", ReasonTooManyProfiles, "a batch may name at most %d profiles", maxProfiles)
}

// profile asks once per batch and name.
func (s *Service) profile(ctx context.Context, tenant, name string, known map[string]*Profile) (*Profile, error) {
	if p, ok := known[name]; ok {
		return p, nil
	}
	p, err := s.profiles.Profile(ctx, tenant, name)
	if err != nil && !errors.Is(err, fault.NotFound) {
		return nil, err
	}
	known[name] = p
	return p, nil
}

// whole checks the rest and fills in what the caller left to the door.
func (s *Service) whole(c checker, r *ingestv1.Record, p *Profile, seen map[recordKey]struct{}) *refusal {
	if p == nil {
		return refuse("profile", ReasonProfile, "no profile %q", clip(r.GetProfile()))
	}
	if no := c.body(r, p); no != nil {
		return no
	}
	if r.GetId() == "" {
		r.Id = newID()
	}
	key := recordKey{p.UID, r.GetId()}
	if _, twice := seen[key]; twice {
		return refuse("id", ReasonDuplicateID, "stands twice in the batch; only the first counts")
	}
	r.Profile, r.Traceparent = p.UID, plainParent(r.GetTraceparent())
	if r.GetEventTime() == nil {
		r.EventTime = timestamppb.New(c.now)
	}
	if n := proto.Size(r); n > c.maxRecord {
		return refuse("", ReasonTooLarge, "has %d bytes, at most %d are allowed", n, c.maxRecord)
	}
	seen[key] = struct{}{}
	return nil
}

// maxRecord is the largest record that fits into a message of the broker.
func (s *Service) maxRecord() int {
	n := s.maxMessage()
	if n <= 0 {
		n = unknownMessage
	}
	return max(n-envelopeRoom, 1)
}

// newID is a UUIDv7; a random one if the clock source fails.
func newID() string {
	id, err := uuid.NewV7()
	if err != nil {
		id = uuid.New()
	}
	return id.String()
}

// batchRecords is the field number of event.v1.RecordBatch.records.
const batchRecords = 1

// chunk is the value of one message, and which of the good records it holds.
type chunk struct {
	value      []byte
	start, end int
}

// cut encodes the records as RecordBatches of at most size bytes each, or of
// one record where that alone is larger.
func cut(good []*ingestv1.Record, size int) ([]chunk, error) {
	var chunks []chunk
	var cur chunk
	for i, r := range good {
		n := proto.Size(r)
		if cur.end > cur.start && len(cur.value)+n+protowire.SizeVarint(uint64(n))+1 > size {
			chunks = append(chunks, cur)
			cur = chunk{start: i}
		}
		if cur.value == nil {
			cur.value = make([]byte, 0, min(size, (n+8)*(len(good)-i)))
		}
		cur.value = protowire.AppendTag(cur.value, batchRecords, protowire.BytesType)
		cur.value = protowire.AppendVarint(cur.value, uint64(n))
		var err error
		if cur.value, err = (proto.MarshalOptions{UseCachedSize: true}).MarshalAppend(cur.value, r); err != nil {
			return nil, fault.Internal.Wrap(err, "encode record")
		}
		cur.end = i + 1
	}
	if cur.end > cur.start {
		chunks = append(chunks, cur)
	}
	return chunks, nil
}
