package send_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/send"
	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/table"
	"github.com/driftmesh/driftmesh/internal/fault"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

func shop() *driftv1.Profile {
	numeric, category := driftv1.FeatureKind_FEATURE_KIND_NUMERIC, driftv1.FeatureKind_FEATURE_KIND_CATEGORY
	return &driftv1.Profile{Uid: "shop-uid", Space: "s", Name: "shop", Version: "1.0.0", Features: []*driftv1.FeatureProfile{
		{Name: "age", Type: "int", Kind: numeric}, {Name: "price", Type: "float", Kind: numeric}, {Name: "zip", Type: "string", Kind: category},
		{Name: "grade", Type: "int", Kind: category}, {Name: "member", Type: "bool", Kind: category},
	}}
}

func file(t *testing.T, text string) table.Table {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.csv")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	rows, err := table.Open(t.Context(), path, nil, table.Options{Null: []string{"NA"}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, rows.Close()) })
	return rows
}

func plan(t *testing.T, rows table.Table, c send.Columns) (*send.Plan, error) {
	t.Helper()
	var err error
	c.TimeFormat, err = table.NewTimeFormat("", "UTC")
	require.NoError(t, err)
	return send.NewPlan(rows, shop(), c)
}

// records are the records of a table in short, and what was refused.
func records(t *testing.T, text string, c send.Columns) (all []*ingestv1.Record, tally *send.Tally) {
	t.Helper()
	rows := file(t, text)
	p, err := plan(t, rows, c)
	require.NoError(t, err)
	tally = send.NewTally(p)
	require.NoError(t, rows.Rows(t.Context(), p.Names(), func(columns []table.Column) error {
		for row := range columns[0].Len() {
			r, problem := p.Record(columns, row, row)
			if problem != nil {
				tally.Skip(row, problem)
				continue
			}
			all = append(all, r)
		}
		return nil
	}))
	return all, tally
}

// Cells are what the profile says of them, not what they look like.
func TestCellsAreWhatTheProfileSays(t *testing.T) {
	t.Parallel()
	got, tally := records(t, "zip,age,price,grade,member\n00123,41.0,7,3.0,True\n12,42,NaN,NA,false\n", send.Columns{IDPrefix: "r-"})
	require.Zero(t, tally.Skipped())
	var texts []string
	for _, r := range got {
		var values []string
		for _, f := range r.GetFeatures().GetValues() {
			values = append(values, strings.Join(strings.Fields(fmt.Sprint(f)), " "))
		}
		texts = append(texts, r.GetId()+" "+r.GetProfile()+": "+strings.Join(values, "; "))
	}
	require.Equal(t, []string{
		`r-0 shop-uid: name:"zip" string:"00123"; name:"age" float:41; name:"price" int:7; name:"grade" int:3; name:"member" bool:true`,
		`r-1 shop-uid: name:"zip" string:"12"; name:"age" int:42; name:"price" float:nan; name:"grade" missing:{}; name:"member" bool:false`,
	}, texts)
}

// Where a monitor counts values of another type they are sent as they are.
func TestCellsOfAnotherTypeThatAreCounted(t *testing.T) {
	t.Parallel()
	p := shop()
	p.Monitors = []*driftv1.Monitor{{Name: "types", Detector: "wrong_type", Features: []string{"age", "grade", "member"}}}
	rows := file(t, "age,price,grade,member,id\nold,1,1.5,maybe,a\n")
	format, err := table.NewTimeFormat("", "UTC")
	require.NoError(t, err)
	made, err := send.NewPlan(rows, p, send.Columns{TimeFormat: format, ID: "id"})
	require.NoError(t, err)
	require.NoError(t, rows.Rows(t.Context(), made.Names(), func(columns []table.Column) error {
		r, problem := made.Record(columns, 0, 0)
		require.Nil(t, problem)
		var all []string
		for _, f := range r.GetFeatures().GetValues() {
			all = append(all, strings.Join(strings.Fields(fmt.Sprint(f)), " "))
		}
		require.Equal(t, []string{`name:"age" string:"old"`, `name:"price" int:1`, `name:"grade" string:"1.5"`, `name:"member" string:"maybe"`}, all)
		return nil
	}))
}

// Times, ids and traces come from columns of their own.
func TestColumnsWithAnotherRole(t *testing.T) {
	t.Parallel()
	const trace, span = "5B8EFFF798038103D269B633813FC60C", "eee19b7ec3c1b174"
	got, tally := records(t, "at,order,trace,span,age,note\n2026-01-02 03:04:05,17,"+trace+","+span+",1,x\n2026-01-02T03:04:05.5+01:00,18,,,2,y\n", send.Columns{
		Time: "at", ID: "order", Trace: "trace", Span: "span", Ignore: []string{"note"},
	})
	require.Zero(t, tally.Skipped())
	require.Equal(t, "17", got[0].GetId())
	require.Equal(t, "00-"+strings.ToLower(trace)+"-"+span+"-01", got[0].GetTraceparent())
	require.Equal(t, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), got[0].GetEventTime().AsTime())
	require.Empty(t, got[1].GetTraceparent())
	require.Equal(t, time.Date(2026, 1, 2, 2, 4, 5, 5e8, time.UTC), got[1].GetEventTime().AsTime())
	require.Len(t, got[0].GetFeatures().GetValues(), 1, protojson.Format(got[0]))
}

// Labels are sent under the ids of the records that they are of.
func TestLabels(t *testing.T) {
	t.Parallel()
	got, _ := records(t, "order,member\n17,true\n", send.Columns{ID: "order", Labels: true})
	require.Equal(t, "17", got[0].GetId())
	require.True(t, got[0].GetLabels().GetValues()[0].GetBool())
	require.Nil(t, got[0].GetFeatures())
	_, err := plan(t, file(t, "order,member\n17,true\n"), send.Columns{Labels: true, Ignore: []string{"order"}})
	require.EqualError(t, err, "labels need the ids of the records that they are of")
}

// What cannot be sent is told by kind, in the numbers of the file's rows.
func TestRefusalsAreToldByKind(t *testing.T) {
	t.Parallel()
	_, tally := records(t, "at,age,grade,member\n2026-01-01,old,1,true\n2026-01-01,2,1.5,true\nsoon,3,1,true\n,4,1,true\n2026-01-01,5,1,yes\n2026-01-01,young,1,true\n2026-01-01,7,1,true\n2026-01-01,0x10,1,true\n",
		send.Columns{Time: "at"})
	require.Equal(t, 7, tally.Skipped())
	tally.Refused(&ingestv1.StreamRecordsResponse{Rejected: 5, Rejections: []*ingestv1.Rejection{
		{Index: 0, Field: "features.values[1].int", Message: "is no category", Reason: "type_mismatch"},
		{Index: 1, Field: "event_time", Message: "lies ahead", Reason: "event_time"},
	}})
	var out strings.Builder
	tally.Print(&out)
	require.Equal(t, `  3 rows, the first is 1: column "age" is not a number: "old"
  row 2: column "grade" is not a whole number: "1.5"
  row 3: column "at" is no time of the format: "soon"
  row 4: column "at" holds no time
  row 5: column "member" is not true or false: "yes"
  row 7: column "grade": is no category (type_mismatch)
  row 9: event_time: lies ahead (event_time)
  3 more rows: refused too; the server tells why of the first hundred only
`, out.String())
}

func TestUnknownColumnsAreRefused(t *testing.T) {
	t.Parallel()
	const text = "age,price,a,b\n1,2,3,4\n"
	for says, c := range map[string]send.Columns{
		`profile s/shop/1.0.0 has no feature "a", "b": leave out what is none with --ignore a,b, or with --ignore-others`: {},
		`profile s/shop/1.0.0 has no feature "b": leave out what is none with --ignore b, or with --ignore-others`:        {Ignore: []string{"a"}},
		`profile s/shop/1.0.0 has no feature "a": leave out what is none with --ignore a, or with --ignore-others`:        {Features: []string{"a"}, IgnoreOthers: true},
		`there is no column "at", but age, price, a, b`:                                                                   {Time: "at"},
		`there is no column "c", but age, price, a, b`:                                                                    {Ignore: []string{"c"}},
		`a trace needs its span: name a column for both, or one of traceparents for neither`:                              {Trace: "a"},
		`no column is a feature of profile s/shop/1.0.0, which has "age", "price", "zip", "grade", "member"`:              {Ignore: []string{"age", "price"}, IgnoreOthers: true},
	} {
		_, err := plan(t, file(t, text), c)
		require.ErrorIs(t, err, fault.Invalid)
		require.EqualError(t, err, says)
	}
	p, err := plan(t, file(t, text), send.Columns{IgnoreOthers: true})
	require.NoError(t, err)
	require.Equal(t, []string{"age", "price"}, p.Names())
	require.Equal(t, []string{"zip", "grade", "member"}, p.Absent)
	p, err = plan(t, file(t, text), send.Columns{Features: []string{"price"}})
	require.NoError(t, err)
	require.Equal(t, []string{"price"}, p.Names())
	rows, err := table.Open(t.Context(), "../table/testdata/table.parquet", nil, table.Options{})
	require.NoError(t, err)
	_, err = plan(t, rows, send.Columns{IgnoreOthers: true, Time: "at", ID: "id"})
	require.NoError(t, err, "columns that are not used may be of any type")
	require.NoError(t, rows.Close())
}
