package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/sdk/profile/wire"
)

type driftBacktestCmd struct {
	clientFlags
	Profile string        `arg:"" help:"Whose records: uid, space/name or space/name/version."`
	With    string        `help:"The JSON form of a profile that judges them instead; it need not be registered." type:"existingfile" placeholder:"FILE"`
	Since   time.Duration `help:"How far back the range begins." default:"168h"`
	Start   time.Time     `help:"Start of the range (RFC 3339), instead of --since." format:"2006-01-02T15:04:05Z07:00" placeholder:"TIME"`
	End     time.Time     `help:"End of the range (RFC 3339); now when not given." format:"2006-01-02T15:04:05Z07:00" placeholder:"TIME"`
	Quiet   bool          `help:"Nothing moved in the whole range: what drifted is false." xor:"known"`
	Change  time.Time     `help:"When things changed (RFC 3339): how long until an alert? What was before is quiet." format:"2006-01-02T15:04:05Z07:00" placeholder:"TIME" xor:"known"`
}

// Run replays, and shows the alerts that would have been as they come.
func (c driftBacktestCmd) Run(ctx context.Context, con console) error {
	req, err := c.request()
	if err != nil {
		return err
	}
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := driftv1.NewDriftServiceClient(conn).Backtest(ctx, req)
	if err != nil {
		return err
	}
	return c.follow(con, stream)
}

func (c driftBacktestCmd) request() (*driftv1.BacktestRequest, error) {
	start, end := span(c.Start, c.End, c.Since)
	req := &driftv1.BacktestRequest{Profile: c.Profile, StartTime: timestamppb.New(start), EndTime: timestamppb.New(end)}
	if c.Quiet {
		// The range is cut to minutes, outwards.
		req.QuietStart, req.QuietEnd = timestamppb.New(start.Truncate(time.Minute)), timestamppb.New(end.Add(time.Minute))
	}
	if !c.Change.IsZero() {
		req.ChangeTime = timestamppb.New(c.Change)
	}
	if c.With != "" {
		data, err := os.ReadFile(c.With)
		if err != nil {
			return nil, err
		}
		p, err := profile.Parse(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.With, err)
		}
		req.Candidate = wire.Message(p)
	}
	return req, nil
}

// follow shows what comes. Where the answer is not a table it is the summary alone.
func (c driftBacktestCmd) follow(con console, stream grpc.ServerStreamingClient[driftv1.BacktestResponse]) error {
	line := newProgressLine(con.err)
	defer line.end()
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch answer := resp.GetAnswer().(type) {
		case *driftv1.BacktestResponse_Progress:
			line.part("replaying", answer.Progress)
		case *driftv1.BacktestResponse_Change:
			if line.end(); c.Output == "table" {
				fmt.Fprintln(con.out, changeText(answer.Change))
			}
		case *driftv1.BacktestResponse_Summary:
			line.end()
			return c.show(con.out, answer.Summary, func(w *tabwriter.Writer) { backtestTable(w, answer.Summary) })
		}
	}
}

func changeText(c *driftv1.BacktestChange) string {
	text := fmt.Sprintf("%s  %s %s", stamp(c.GetSlot()), c.GetMonitor(), c.GetChange())
	moved := c.GetMoved()
	if len(moved) > 0 {
		text += ": " + strings.Join(moved[:min(len(moved), movedShown)], ", ")
	}
	if more := len(moved) - movedShown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return safe(text, true)
}

func backtestTable(w io.Writer, s *driftv1.BacktestSummary) {
	fmt.Fprintf(w, "%s to %s, %d slots, %d records\n", stamp(s.GetStartTime()), stamp(s.GetEndTime()), s.GetSlots(), s.GetRecords())
	row(w, "MONITOR", "DETECTOR", "JUDGED", "DRIFTED", "ALERTS", "OPEN", "FALSE ALARMS", "FALSE ALERTS", "DELAY")
	for _, m := range s.GetMonitors() {
		rate, alerts, delay := "-", "-", "-"
		if m.FalseAlarmRate != nil {
			rate = fmt.Sprintf("%.2f%% of %d", 100*m.GetFalseAlarmRate(), m.GetQuietJudged())
			alerts = strconv.FormatUint(m.GetQuietAlerts(), 10)
		}
		if m.GetDelay() != nil {
			delay = m.GetDelay().AsDuration().String()
		}
		row(w, m.GetMonitor(), m.GetDetector(), m.GetJudged(), m.GetDrifted(), m.GetAlerts(), m.GetOpen(), rate, alerts, delay)
	}
}
