package record

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/policy"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// maxDescribed is how many refused records an answer describes.
const maxDescribed = 100

// Batch is what came in at once.
type Batch struct {
	// Tenant owns it.
	Tenant string
	// Spaces are those whose profiles the sender may name.
	Spaces policy.Spaces
	// Records are changed in place. They may be marked by package salvage.
	Records []*ingestv1.Record
	// Now is when the door got the batch: the event time of records that name
	// none, and what event times are held against.
	Now time.Time
	// MaxRecord is the largest record in bytes: see MaxRecord.
	MaxRecord int
	// Apart keeps records of profiles that are not known apart instead of refusing
	// them: see Verdict.Unknown.
	Apart bool
	// NewID names a record that has no id, by its position. Nil is a UUIDv7.
	NewID func(i int) string
}

// Verdict is what becomes of one batch.
type Verdict struct {
	Good     []*ingestv1.Record
	Index    []int // of Good, in the batch
	Rejected Tally
	Unknown  []int // in the batch: records of profiles that are not known, if Batch.Apart
}

// Tally counts refused records and describes the first of them.
type Tally struct {
	Count     uint64
	ByReason  map[string]uint64
	Described []*ingestv1.Rejection
}

// RefuseTooLarge refuses one more record because no message of the broker can
// hold it; i is its position in the batch.
func (t *Tally) RefuseTooLarge(i int, r *ingestv1.Record) {
	t.add(i, r, refuse("", ReasonTooLarge, "the broker does not take a message with it"))
}

// Refuse refuses what never became a record, such as one of another dialect that is
// not understood; i is its position in the batch, and reason one of this package.
func (t *Tally) Refuse(i int, reason, message string) {
	t.add(i, nil, refuse("", reason, "%s", message))
}

func (t *Tally) add(i int, r *ingestv1.Record, no *refusal) {
	t.Count++
	if t.ByReason == nil {
		t.ByReason = map[string]uint64{}
	}
	t.ByReason[no.reason]++
	if len(t.Described) < maxDescribed {
		t.Described = append(t.Described, &ingestv1.Rejection{
			Index: uint32(i), RecordId: clip(r.GetId()), Field: no.field, Reason: no.reason, Message: no.message,
		})
	}
}

// recordKey is what names a record within its tenant. Labels share the id with
// the record that they are of.
type recordKey struct {
	profile, id string
	labels      bool
}

// Sieve tells good records from bad ones. Make it with NewSieve; it is safe for
// concurrent use.
type Sieve struct {
	limits   Limits
	profiles Profiles
}

// NewSieve makes a sieve.
func NewSieve(limits Limits, profiles Profiles) *Sieve {
	return &Sieve{limits: limits.WithDefaults(), profiles: profiles}
}

// Sift checks a batch and makes its good records whole: id, event time and the
// profile's uid. It gives an error, and no verdict, when a profile cannot be
// looked up now.
func (s *Sieve) Sift(ctx context.Context, b Batch) (*Verdict, error) {
	if b.NewID == nil {
		b.NewID = func(int) string { return newID() }
	}
	c := checker{limits: s.limits, now: b.Now, maxRecord: b.MaxRecord, newID: b.NewID, names: map[string]struct{}{}}
	v := &Verdict{Good: make([]*ingestv1.Record, 0, len(b.Records)), Index: make([]int, 0, len(b.Records))}
	profiles := map[string]*Profile{} // nil: unknown
	seen := make(map[recordKey]struct{}, len(b.Records))
	for i, r := range b.Records {
		if i >= s.limits.MaxRecords {
			v.Rejected.add(i, r, refuse("", ReasonTooMany, "a batch may have at most %d records", s.limits.MaxRecords))
			continue
		}
		no := c.header(r)
		if no == nil {
			no = manyProfiles(profiles, r.GetProfile())
		}
		if no == nil {
			p, err := s.profile(ctx, b.Tenant, r.GetProfile(), profiles)
			if err != nil {
				return nil, err
			}
			if p != nil && !b.Spaces.Has(p.Space) {
				p = nil // nor does the sender learn that there is one
			}
			no = c.whole(i, r, p, seen)
		}
		switch {
		case no == nil:
		case b.Apart && no.reason == ReasonProfile:
			v.Unknown = append(v.Unknown, i)
			continue
		default:
			v.Rejected.add(i, r, no)
			continue
		}
		v.Good, v.Index = append(v.Good, r), append(v.Index, i)
	}
	return v, nil
}

// maxProfiles bounds what one batch can make a door ask drift for.
const maxProfiles = 256

func manyProfiles(known map[string]*Profile, name string) *refusal {
	if _, ok := known[name]; ok || len(known) < maxProfiles {
		return nil
	}
	return refuse("profile", ReasonTooManyProfiles, "a batch may name at most %d profiles", maxProfiles)
}

// profile asks once per batch and name.
func (s *Sieve) profile(ctx context.Context, tenant, name string, known map[string]*Profile) (*Profile, error) {
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
func (c checker) whole(i int, r *ingestv1.Record, p *Profile, seen map[recordKey]struct{}) *refusal {
	if p == nil {
		return refuse("profile", ReasonProfile, "no profile %q", clip(r.GetProfile()))
	}
	if no := c.body(r, p); no != nil {
		return no
	}
	if r.GetId() == "" {
		r.Id = c.newID(i)
	}
	key := recordKey{p.UID, r.GetId(), r.GetLabels() != nil}
	if _, twice := seen[key]; twice {
		return refuse("id", ReasonDuplicateID, "stands twice in the batch; only the first counts")
	}
	// A record without an event time is left without: its message says when it came,
	// and who stores it knows then that the time is not its own.
	r.Profile, r.Traceparent = p.UID, plainParent(r.GetTraceparent())
	if n := proto.Size(r); n > c.maxRecord {
		return refuse("", ReasonTooLarge, "has %d bytes, at most %d are allowed", n, c.maxRecord)
	}
	seen[key] = struct{}{}
	return nil
}

// newID is a UUIDv7; a random one if the clock source fails.
func newID() string {
	id, err := uuid.NewV7()
	if err != nil {
		id = uuid.New()
	}
	return id.String()
}
