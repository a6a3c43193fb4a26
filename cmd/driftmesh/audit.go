package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/audit"
	"github.com/driftmesh/driftmesh/internal/audit/wire"
	auditv1 "github.com/driftmesh/driftmesh/proto/driftmesh/audit/v1"
)

type auditCmd struct {
	List   auditListCmd   `cmd:"" default:"withargs" help:"List who did what to the tenant, the newest first."`
	Export auditExportCmd `cmd:"" help:"Write the whole chain to a file, signed, as lines of JSON."`
	Verify auditVerifyCmd `cmd:"" help:"Prove that a chain is what was written: from a file, or the mesh's own."`

	Senders sendersCmd `cmd:"" help:"Show who sent the data behind a span, a record or a score."`
}

type auditListCmd struct {
	clientFlags
	Tenant  string        `help:"Tenant; your own when not given."`
	Actor   string        `help:"Only what this user, key or service did."`
	Action  string        `help:"Only this: a method such as CreateUser, or login."`
	Outcome string        `help:"Only what ended so: ok, denied or failed." enum:",ok,denied,failed" default:""`
	Since   time.Duration `help:"Only of this long until now." placeholder:"DURATION"`
	Limit   int32         `help:"How many." default:"50"`
}

// Run lists entries.
func (c auditListCmd) Run(ctx context.Context, con console) error {
	req := &auditv1.ListEntriesRequest{Tenant: c.Tenant, Actor: c.Actor, Action: c.Action, Outcome: c.Outcome, PageSize: c.Limit}
	if c.Since > 0 {
		req.StartTime = timestamppb.New(time.Now().Add(-c.Since))
	}
	return call(ctx, con, c.clientFlags, auditv1.NewAuditServiceClient, auditv1.AuditServiceClient.ListEntries, req,
		func(w io.Writer, r *auditv1.ListEntriesResponse) {
			row(w, "TIME", "ACTOR", "FROM", "ACTION", "OBJECT", "OUTCOME", "REASON", "TIMES", "TRACE")
			for _, e := range r.GetEntries() {
				row(w, stamp(e.GetTime()), e.GetKind()+":"+e.GetHome()+"/"+e.GetActor(), e.GetSource(), shortAction(e.GetAction()), e.GetObject(),
					e.GetOutcome(), e.GetReason(), e.GetCount(), e.GetTrace())
			}
		})
}

// shortAction is a method without its service; routes stay as they are.
func shortAction(action string) string {
	if !strings.HasPrefix(action, "/") {
		return action
	}
	return action[strings.LastIndexByte(action, '/')+1:]
}

type auditExportCmd struct {
	connectFlags
	Output string `help:"File to write; - is standard output." short:"o" default:"-" placeholder:"FILE"`
}

// Run writes the chain.
func (c auditExportCmd) Run(ctx context.Context, con console) (err error) {
	out, done := con.out, func() error { return nil }
	if c.Output != "-" {
		file, err := os.OpenFile(c.Output, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		out, done = file, file.Close
	}
	defer func() { err = errors.Join(err, done()) }()
	buffered := bufio.NewWriter(out)
	if err := exportChain(ctx, c.connectFlags, func(l audit.Line) error { return audit.Write(buffered, l) }); err != nil {
		return err
	}
	return buffered.Flush()
}

// exportChain gives take each line of the mesh's chain, in order.
func exportChain(ctx context.Context, from connectFlags, take func(audit.Line) error) error {
	conn, err := from.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx) // ends the call when take has had enough
	defer cancel()
	stream, err := auditv1.NewAuditServiceClient(conn).ExportChain(ctx, &auditv1.ExportChainRequest{})
	if err != nil {
		return err
	}
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, l := range wire.Lines(resp) {
			if err := take(l); err != nil {
				return err
			}
		}
	}
}

type auditVerifyCmd struct {
	connectFlags
	File       string   `arg:"" optional:"" help:"File that audit export wrote; the chain of the mesh when not given."`
	Signer     []string `help:"Fingerprint of a key that is believed; may be repeated. Without any, all that signed are shown." placeholder:"FINGERPRINT"`
	Checkpoint string   `help:"File with checkpoints that were kept elsewhere, as lines of JSON: the chain must contain them." placeholder:"FILE" type:"existingfile"`
}

// Run verifies.
func (c auditVerifyCmd) Run(ctx context.Context, con console) error {
	v := audit.Verifier{Keys: c.Signer}
	if c.Checkpoint != "" {
		known, err := readCheckpoints(c.Checkpoint)
		if err != nil {
			return err
		}
		v.Known = known
	}
	verdict, err := c.verify(ctx, &v)
	if err != nil {
		return err
	}
	fmt.Fprintf(con.out, "the chain is whole: %d entries, %d checkpoints\n", verdict.Head.Seq, verdict.Checkpoints)
	for _, key := range verdict.Keys {
		fmt.Fprintf(con.out, "signed by %s\n", key)
	}
	if open := verdict.Head.Seq - verdict.Signed.Seq; open > 0 {
		fmt.Fprintf(con.out, "the last %d entries are not signed yet\n", open)
	}
	return nil
}

func (c auditVerifyCmd) verify(ctx context.Context, v *audit.Verifier) (audit.Verdict, error) {
	if c.File == "" {
		if err := exportChain(ctx, c.connectFlags, v.Take); err != nil {
			return audit.Verdict{}, err
		}
		return v.End()
	}
	file, err := os.Open(c.File)
	if err != nil {
		return audit.Verdict{}, err
	}
	defer file.Close() //nolint:errcheck // it was read
	return v.Verify(file)
}

// readCheckpoints reads the checkpoints of a file, which may be a whole export.
func readCheckpoints(path string) (known []audit.Checkpoint, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it was read
	for lines := json.NewDecoder(file); ; {
		var l audit.Line
		if err := lines.Decode(&l); errors.Is(err, io.EOF) {
			return known, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if l.Checkpoint != nil {
			known = append(known, *l.Checkpoint)
		}
	}
}
