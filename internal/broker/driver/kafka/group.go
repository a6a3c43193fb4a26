package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// settings are what a group has beside its offsets. They are stored as the
// metadata of an offset of a Kafka group of their own, because only members may
// commit for a group that has some.
type settings struct {
	AckWait     time.Duration `json:"ack_wait"`
	MaxInFlight int           `json:"max_in_flight"`
	MaxDeliver  int           `json:"max_deliver,omitempty"`
	MayLose     bool          `json:"may_lose,omitempty"`
}

func settingsOf(spec broker.GroupSpec) settings {
	spec = spec.WithDefaults()
	return settings{AckWait: spec.AckWait, MaxInFlight: spec.MaxInFlight, MaxDeliver: spec.MaxDeliver, MayLose: spec.MayLose}
}

// settingsLane is the partition whose offset carries the settings.
const settingsLane = 0

// groupSettings reads the settings of a group; one that was made by other
// means has the defaults. It returns ErrNoGroup when there is no such group.
func (c *conn) groupSettings(ctx context.Context, topic, group string) (out settings, err error) {
	err = c.again(ctx, c.sub, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		var found bool
		if out, found, err = c.storedSettings(ctx, topic, group); err != nil || found {
			return err
		}
		lanes, err := c.lanes(ctx, topic)
		if err != nil {
			return err
		}
		marks, err := c.marks(ctx, c.target.group(topic, group), topic, lanes)
		if err != nil {
			return err
		}
		if !exists(marks) {
			return fmt.Errorf("%w: %q of topic %q", broker.ErrNoGroup, group, topic)
		}
		out = settingsOf(broker.GroupSpec{})
		return nil
	})
	return out, err
}

func (c *conn) storedSettings(ctx context.Context, topic, group string) (out settings, found bool, err error) {
	marks, err := c.marks(ctx, c.target.group(topic, group)+settingsSuffix, topic, []int{settingsLane})
	if err != nil {
		return out, false, err
	}
	m := marks[settingsLane]
	found = m.offset >= 0 && json.Unmarshal([]byte(m.metadata), &out) == nil && out.AckWait > 0 && out.MaxInFlight > 0
	return out, found, nil
}

func (c *conn) storeSettings(ctx context.Context, topic, group string, s settings) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return c.place(ctx, topic, c.target.group(topic, group)+settingsSuffix,
		[]kafkago.OffsetCommit{{Partition: settingsLane, Metadata: string(text)}})
}

// EnsureGroup implements broker.Admin.
func (a admin) EnsureGroup(ctx context.Context, spec broker.GroupSpec) error {
	if err := broker.ValidGroup(spec.Name); err != nil {
		return err
	}
	if err := broker.ValidName(spec.Topic); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	err := a.again(ctx, a.sub, func(ctx context.Context) error { return a.ensureGroup(ctx, spec) })
	if err != nil {
		return fmt.Errorf("ensure group %q of topic %q: %w", spec.Name, spec.Topic, classify(err))
	}
	return nil
}

func (a admin) ensureGroup(ctx context.Context, spec broker.GroupSpec) error {
	lanes, err := a.lanes(ctx, spec.Topic)
	if err != nil {
		return err
	}
	gid := a.target.group(spec.Topic, spec.Name)
	marks, err := a.marks(ctx, gid, spec.Topic, lanes)
	if err != nil {
		return err
	}
	if !exists(marks) {
		offsets, err := a.resolve(ctx, spec.Topic, lanes, spec.Start)
		if err != nil {
			return err
		}
		// Refused when the group has members already, whoever made it.
		if err := a.place(ctx, spec.Topic, gid, commits(offsets)); err != nil && !is(err, fencedCodes) {
			return err
		}
	}
	have, found, err := a.storedSettings(ctx, spec.Topic, spec.Name)
	if err != nil {
		return err
	}
	if !found {
		return a.storeSettings(ctx, spec.Topic, spec.Name, settingsOf(spec))
	}
	merged, diff := broker.GroupSpec{AckWait: have.AckWait, MaxInFlight: have.MaxInFlight, MaxDeliver: have.MaxDeliver}.Merge(spec)
	if diff == "" {
		return nil
	}
	if !spec.Update {
		return fmt.Errorf("%w: %s", broker.ErrConflict, diff)
	}
	merged.MayLose = have.MayLose
	return a.storeSettings(ctx, spec.Topic, spec.Name, settingsOf(merged))
}

// resolve finds the offsets of a position. Those of lanes it says nothing
// about are left out.
func (c *conn) resolve(ctx context.Context, topic string, lanes []int, at broker.Position) (map[int]int64, error) {
	out := make(map[int]int64, len(lanes))
	if at.Place == broker.AtPosition {
		lane, offset, err := parsePosition(at.Value)
		if err != nil {
			return nil, err
		}
		out[lane] = offset
		return out, nil
	}
	where, err := c.offsets(ctx, topic, lanes)
	if err != nil {
		return nil, err
	}
	if at.Place == broker.AtTime {
		return c.offsetsAt(ctx, topic, at.Time, where)
	}
	for lane, b := range where {
		out[lane] = b.first
		if at.Place == broker.Latest {
			out[lane] = b.end
		}
	}
	return out, nil
}

// parsePosition reads a Delivery.Position, <partition>:<offset>.
func parsePosition(text string) (lane int, offset int64, err error) {
	a, b, ok := strings.Cut(text, ":")
	lane, err = strconv.Atoi(a)
	if err == nil {
		offset, err = strconv.ParseInt(b, 10, 64)
	}
	if !ok || err != nil || lane < 0 || offset < 0 {
		return 0, 0, fmt.Errorf("%w: position %q", broker.ErrInvalid, text)
	}
	return lane, offset, nil
}

func commits(offsets map[int]int64) []kafkago.OffsetCommit {
	out := make([]kafkago.OffsetCommit, 0, len(offsets))
	for lane, offset := range offsets {
		out = append(out, kafkago.OffsetCommit{Partition: lane, Offset: offset})
	}
	return out
}

// Seek implements broker.Admin. Kafka moves no group that has members, so they
// are put out first; those that run join again and go on at the new place.
func (a admin) Seek(ctx context.Context, topic, group string, to broker.Position) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	err := a.again(ctx, a.sub, func(ctx context.Context) error { return a.seek(ctx, topic, group, to) })
	if err != nil {
		return fmt.Errorf("seek group %q of topic %q: %w", group, topic, classify(err))
	}
	return nil
}

func (a admin) seek(ctx context.Context, topic, group string, to broker.Position) error {
	lanes, err := a.lanes(ctx, topic)
	if err != nil {
		return err
	}
	gid := a.target.group(topic, group)
	marks, err := a.marks(ctx, gid, topic, lanes)
	if err != nil {
		return err
	}
	if !exists(marks) {
		return broker.ErrNoGroup
	}
	offsets, err := a.resolve(ctx, topic, lanes, to)
	if err != nil {
		return err
	}
	if err := a.evict(ctx, gid); err != nil {
		return err
	}
	err = a.place(ctx, topic, gid, commits(offsets))
	if is(err, fencedCodes) {
		return fmt.Errorf("%w: workers of the group keep joining", broker.ErrUnavailable) // and so again
	}
	return err
}

// evict puts all members out of a group.
func (c *conn) evict(ctx context.Context, gid string) error {
	res, err := c.sub.DescribeGroups(ctx, &kafkago.DescribeGroupsRequest{GroupIDs: []string{gid}})
	if err != nil {
		return err
	}
	var members []kafkago.LeaveGroupRequestMember
	for _, g := range res.Groups {
		if g.Error != nil && !errors.Is(g.Error, kafkago.GroupIdNotFound) {
			return g.Error
		}
		for _, m := range g.Members {
			members = append(members, kafkago.LeaveGroupRequestMember{ID: m.MemberID})
		}
	}
	if len(members) == 0 {
		return nil
	}
	left, err := c.sub.LeaveGroup(ctx, &kafkago.LeaveGroupRequest{GroupID: gid, Members: members})
	if err == nil {
		err = left.Error
	}
	if is(err, fencedCodes) {
		return nil // they left by themselves
	}
	return err
}
