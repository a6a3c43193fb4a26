package auth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/audit"
	"github.com/driftmesh/driftmesh/internal/audit/wire"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/sqlstate/sqltest"
	auditv1 "github.com/driftmesh/driftmesh/proto/driftmesh/audit/v1"
)

func TestTheAccountOfWhoDidWhat(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		r := start(t, url, config())
		chain := auditv1.NewAuditServiceClient(r.connect(signer(t, meshSecret).Credentials("auth")))
		var entries []*auditv1.Entry
		for i := range 7 {
			entries = append(entries, &auditv1.Entry{
				Id: fmt.Sprint("e", i), Time: timestamppb.New(time.UnixMicro(1_700_000_000_000_000 + int64(i))), Tenant: []string{"acme", "beta"}[i%2],
				Actor: "ada", Kind: "user", Home: "acme", Action: "/x/CreateUser", Outcome: "ok", Count: 1,
			})
		}
		for range 2 { // told twice, it stands there once
			_, err := chain.Record(as(t, gateway), &auditv1.RecordRequest{Entries: entries})
			require.NoError(t, err)
		}
		_, err := chain.Record(as(t, gateway), &auditv1.RecordRequest{Entries: []*auditv1.Entry{{Id: "x", Action: "a", Outcome: "ok"}}})
		require.ErrorIs(t, err, fault.Invalid)
		require.ErrorContains(t, err, "time is missing")

		// A tenant sees its own, page by page.
		var seen []string
		for token := ""; ; {
			resp, err := chain.ListEntries(as(t, acmeAdmin), &auditv1.ListEntriesRequest{PageSize: 3, PageToken: token})
			require.NoError(t, err)
			for _, e := range resp.GetEntries() {
				require.Equal(t, "acme", e.GetTenant())
				seen = append(seen, e.GetId())
			}
			if token = resp.GetNextPageToken(); token == "" {
				break
			}
		}
		require.Equal(t, []string{"e6", "e4", "e2", "e0"}, seen)

		// Nobody else may write, nor take the whole, nor look at another's.
		for name, call := range map[string]func() error{
			"an administrator records": func() error {
				_, err := chain.Record(as(t, acmeAdmin), &auditv1.RecordRequest{Entries: entries})
				return err
			},
			"an administrator looks at another tenant": func() error {
				_, err := chain.ListEntries(as(t, acmeAdmin), &auditv1.ListEntriesRequest{Tenant: "beta"})
				return err
			},
			"an administrator exports": func() error {
				_, err := export(as(t, acmeAdmin), chain)
				return err
			},
		} {
			require.ErrorIs(t, call(), fault.Denied, name)
		}

		// The whole is signed up to its end when it is taken.
		lines, err := export(as(t, meshAdmin), chain)
		require.NoError(t, err)
		v := new(audit.Verifier)
		for _, l := range lines {
			require.NoError(t, v.Take(l))
		}
		verdict, err := v.End()
		require.NoError(t, err)
		require.EqualValues(t, 7, verdict.Head.Seq)
		require.Equal(t, verdict.Head, verdict.Signed)
		require.Contains(t, r.log.String(), "audit checkpoint")

		// And when auth stops.
		_, err = chain.Record(as(t, gateway), &auditv1.RecordRequest{Entries: []*auditv1.Entry{
			{Id: "last", Time: timestamppb.Now(), Action: "login", Outcome: "denied"},
		}})
		require.NoError(t, err)
		r.stop()
		require.Contains(t, r.log.String(), "sequence=8")
	})
}

func export(ctx context.Context, from auditv1.AuditServiceClient) (lines []audit.Line, err error) {
	stream, err := from.ExportChain(ctx, &auditv1.ExportChainRequest{})
	if err != nil {
		return nil, err
	}
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return nil, err
		}
		lines = append(lines, wire.Lines(resp)...)
	}
}
