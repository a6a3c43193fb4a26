// Package wire is the account of who did what as it travels between programs.
package wire

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/audit"
	auditv1 "github.com/driftmesh/driftmesh/proto/driftmesh/audit/v1"
)

// Message is an entry.
func Message(e audit.Entry) *auditv1.Entry {
	return &auditv1.Entry{
		Id: e.ID, Time: timestamppb.New(e.Time), Tenant: e.Tenant, Actor: e.Actor, Kind: e.Kind, Home: e.Home, Source: e.Source,
		Action: e.Action, Object: e.Object, Outcome: string(e.Outcome), Reason: e.Reason, Count: e.Count, Trace: e.Trace,
	}
}

// Entry is the inverse of Message. What has no time has the zero time.
func Entry(m *auditv1.Entry) audit.Entry {
	e := audit.Entry{
		ID: m.GetId(), Tenant: m.GetTenant(), Actor: m.GetActor(), Kind: m.GetKind(), Home: m.GetHome(), Source: m.GetSource(),
		Action: m.GetAction(), Object: m.GetObject(), Outcome: audit.Outcome(m.GetOutcome()), Reason: m.GetReason(), Count: m.GetCount(), Trace: m.GetTrace(),
	}
	if m.GetTime() != nil {
		e.Time = m.GetTime().AsTime()
	}
	return e
}

// MessageOf is an entry in its place.
func MessageOf(l audit.Link) *auditv1.Entry {
	m := Message(l.Entry)
	m.Sequence, m.Hash = l.Seq, l.Hash[:]
	return m
}

// Checkpoint is a signed end of the chain.
func Checkpoint(c audit.Checkpoint) *auditv1.Checkpoint {
	return &auditv1.Checkpoint{Sequence: c.Seq, Hash: c.Hash[:], Time: timestamppb.New(c.Time), PublicKey: c.Key, Signature: c.Signature}
}

// Lines are the lines of a piece of an exported chain, in order.
func Lines(m *auditv1.ExportChainResponse) []audit.Line {
	var lines []audit.Line
	for _, e := range m.GetEntries() {
		l := &audit.Link{Seq: e.GetSequence(), Entry: Entry(e)}
		copy(l.Hash[:], e.GetHash())
		lines = append(lines, audit.Line{Entry: l})
	}
	if p := m.GetCheckpoint(); p != nil {
		c := &audit.Checkpoint{Head: audit.Head{Seq: p.GetSequence()}, Time: p.GetTime().AsTime(), Key: p.GetPublicKey(), Signature: p.GetSignature()}
		copy(c.Hash[:], p.GetHash())
		lines = append(lines, audit.Line{Checkpoint: c})
	}
	return lines
}
