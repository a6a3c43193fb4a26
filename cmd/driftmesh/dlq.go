package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"google.golang.org/protobuf/types/known/timestamppb"

	deadletterv1 "github.com/driftmesh/driftmesh/proto/driftmesh/deadletter/v1"
)

type dlqCmd struct {
	List    dlqListCmd    `cmd:"" help:"List messages that could not be handled, the last parked first."`
	Show    dlqShowCmd    `cmd:"" help:"Show one of them: why it was parked, its headers and its value."`
	Redrive dlqRedriveCmd `cmd:"" help:"Publish them to their topic again, once what was wrong is mended."`
}

type dlqListCmd struct {
	clientFlags
	Topic     string        `help:"Only of this topic."`
	Reason    string        `help:"Only parked for this reason, such as decode."`
	Since     time.Duration `help:"Only parked within this time."`
	State     string        `help:"In which state: ${enum}." enum:"parked,redriven,all" default:"parked"`
	Limit     uint32        `help:"How many, at most 1000." default:"50"`
	PageToken string        `help:"Go on where a list ended." placeholder:"TOKEN"`
}

// Run lists dead letters.
func (c dlqListCmd) Run(ctx context.Context, con console) error {
	req := &deadletterv1.ListDeadLettersRequest{
		Topic: c.Topic, Reason: c.Reason, StartTime: since(c.Since), PageSize: c.Limit, PageToken: c.PageToken,
	}
	if c.State != "parked" {
		req.States = append(req.States, deadletterv1.DeadLetterState_DEAD_LETTER_STATE_REDRIVEN)
	}
	if c.State == "all" {
		req.States = append(req.States, deadletterv1.DeadLetterState_DEAD_LETTER_STATE_PARKED)
	}
	return call(ctx, con, c.clientFlags, deadletterv1.NewDeadLetterServiceClient, deadletterv1.DeadLetterServiceClient.ListDeadLetters,
		req, func(w io.Writer, r *deadletterv1.ListDeadLettersResponse) {
			row(w, "ID", "STATE", "TOPIC", "REASON", "ATTEMPTS", "COUNT", "BYTES", "REDRIVES", "PARKED", "ERROR")
			for _, l := range r.GetDeadLetters() {
				row(w, l.GetId(), letterState(l), l.GetTopic(), printable(l.GetReason()), l.GetAttempts(), l.GetCount(), l.GetValueBytes(), l.GetRedrives(),
					stamp(l.GetDeadTime()), short(printable(l.GetError()), 80))
			}
			if r.GetNextPageToken() != "" {
				fmt.Fprintf(w, "\nThere are more: --page-token %s\n", r.GetNextPageToken())
			}
		})
}

// since is the start of a range that ends now; nil for no bound.
func since(d time.Duration) *timestamppb.Timestamp {
	if d <= 0 {
		return nil
	}
	return timestamppb.New(time.Now().Add(-d))
}

func letterState(l *deadletterv1.DeadLetter) string {
	return strings.ToLower(strings.TrimPrefix(l.GetState().String(), "DEAD_LETTER_STATE_"))
}

// printable is a text that a terminal shows and does not obey: whoever sent the
// message wrote it.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}

// short is the first n characters of a text.
func short(text string, n int) string {
	if runes := []rune(text); len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return text
}

type dlqShowCmd struct {
	clientFlags
	ID    string `arg:"" help:"Id of the dead letter."`
	Value bool   `help:"Write the value alone, byte by byte."`
}

// Run shows one dead letter.
func (c dlqShowCmd) Run(ctx context.Context, con console) error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	resp, err := deadletterv1.NewDeadLetterServiceClient(conn).GetDeadLetter(ctx, &deadletterv1.GetDeadLetterRequest{Id: c.ID})
	if err != nil {
		return err
	}
	if c.Value {
		if n := resp.GetDeadLetter().GetValueBytes(); n > 0 && len(resp.GetValue()) == 0 {
			return fmt.Errorf("the value has %d bytes, too many to be shown", n)
		}
		_, err := raw(con.out).Write(resp.GetValue())
		return err
	}
	return c.show(con.out, resp, func(w *tabwriter.Writer) { letterTable(w, resp) })
}

func letterTable(w io.Writer, r *deadletterv1.GetDeadLetterResponse) {
	l := r.GetDeadLetter()
	row(w, "id", l.GetId())
	row(w, "state", letterState(l))
	row(w, "topic", l.GetTopic())
	row(w, "group", printable(l.GetGroup()))
	row(w, "message", printable(l.GetMessageId()))
	row(w, "reason", printable(l.GetReason()))
	row(w, "error", printable(l.GetError()))
	row(w, "attempts", l.GetAttempts())
	row(w, "lane, position", printable(l.GetLane()+" "+l.GetPosition()))
	row(w, "accepted", stamp(l.GetFirstSeenTime()))
	row(w, "parked", stamp(l.GetDeadTime())+" by "+printable(l.GetWorker()))
	if l.GetRedriveTime() != nil {
		row(w, "redriven", fmt.Sprintf("%d times, last %s by %s", l.GetRedrives(), stamp(l.GetRedriveTime()), l.GetRedrivenBy()))
	}
	row(w, "value", fmt.Sprintf("%d bytes of %s, count %d", l.GetValueBytes(), printable(l.GetType()), l.GetCount()))
	for _, h := range r.GetHeaders() {
		row(w, "  "+h.GetKey(), printable(h.GetValue()))
	}
	if r.GetPreview() != "" {
		fmt.Fprintln(w)
		for line := range strings.SplitSeq(r.GetPreview(), "\n") {
			fmt.Fprintln(w, printable(line))
		}
	}
	if r.GetPreviewNote() != "" {
		fmt.Fprintf(w, "\n(%s)\n", printable(r.GetPreviewNote()))
	}
}

type dlqRedriveCmd struct {
	clientFlags
	ID     []string      `arg:"" optional:"" help:"Ids of dead letters; or say which by the flags."`
	Topic  string        `help:"Those of this topic."`
	Reason string        `help:"Those parked for this reason."`
	Since  time.Duration `help:"Those parked within this time."`
	Limit  uint32        `help:"With flags: how many at most, up to 1000; the first parked first." default:"100"`
}

// redriveTimeout bounds a redrive; the mesh answers for what it got done.
const redriveTimeout = 30 * time.Second

// Run redrives dead letters. It fails when one of them was not redriven.
func (c dlqRedriveCmd) Run(ctx context.Context, con console) error {
	req := &deadletterv1.RedriveDeadLettersRequest{Ids: c.ID}
	flags := c.Topic != "" || c.Reason != "" || c.Since > 0
	switch {
	case flags == (len(c.ID) > 0):
		return errors.New("name dead letters by their ids, or by --topic, --reason and --since")
	case flags:
		req.Filter = &deadletterv1.DeadLetterFilter{Topic: c.Topic, Reason: c.Reason, StartTime: since(c.Since)}
		req.Limit = c.Limit
	}
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, redriveTimeout)
	defer cancel()
	resp, err := deadletterv1.NewDeadLetterServiceClient(conn).RedriveDeadLetters(ctx, req)
	if err != nil {
		return err
	}
	if err := c.show(con.out, resp, func(w *tabwriter.Writer) { redriveTable(w, resp) }); err != nil {
		return err
	}
	return redriveError(resp)
}

func redriveTable(w io.Writer, r *deadletterv1.RedriveDeadLettersResponse) {
	row(w, "ID", "OUTCOME", "WHY")
	for _, result := range r.GetResults() {
		row(w, result.GetId(), redriveOutcome(result), result.GetMessage())
	}
	if r.GetMore() {
		fmt.Fprintln(w, "\nThere are more that match: run it again.")
	}
}

func redriveOutcome(r *deadletterv1.RedriveResult) string {
	text := strings.TrimPrefix(r.GetOutcome().String(), "REDRIVE_OUTCOME_")
	return strings.ToLower(strings.ReplaceAll(text, "_", " "))
}

// redriveError is what a script should fail on.
func redriveError(r *deadletterv1.RedriveDeadLettersResponse) error {
	failed := 0
	for _, result := range r.GetResults() {
		switch result.GetOutcome() {
		case deadletterv1.RedriveOutcome_REDRIVE_OUTCOME_REDRIVEN, deadletterv1.RedriveOutcome_REDRIVE_OUTCOME_ALREADY_REDRIVEN:
		default:
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d dead letters were not redriven", failed, len(r.GetResults()))
	}
	return nil
}
