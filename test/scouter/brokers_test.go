package scouter_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/scouter"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	scouterv1 "github.com/driftmesh/driftmesh/proto/scouter/grpc/v1"
	"github.com/driftmesh/driftmesh/sdk/profile/wire"
	"github.com/driftmesh/driftmesh/test/mesh"
	"github.com/driftmesh/driftmesh/test/server/redis"
)

// onBrokers is a mesh that takes what Scouter's clients publish on brokers of theirs.
type onBrokers struct {
	theirs
	*mesh.Mesh
	t *testing.T

	reports []*report // of what the store must have
	streams map[string]*streamReport

	// What the account of records must say.
	accepted, stored uint64
	rejected         map[string]uint64
	dead             uint64
}

// What comes by the brokers of Scouter's clients is in the ledger and in the store to the
// last record: of the published client, of a run of it as it was recorded, and of what
// nobody understands, which stops none of them.
func TestTheirBrokers(t *testing.T) {
	t.Parallel()
	b := startTheirs(t)
	o := &onBrokers{theirs: b, Mesh: mesh.Start(t, append(b.flags(), "--auth.scouter-accounts")...), t: t, rejected: map[string]uint64{}}
	t.Run("recorded", o.recorded)
	t.Run("not known", o.notKnown)
	t.Run("anything", o.anything)
	t.Run("published client", o.client)
	t.Run("killed", o.killed)
	if t.Failed() {
		return
	}
	o.Settled(t, "spans")
	o.Stop()
	db := openStore(t, o.OpenStore())
	for _, r := range o.reports {
		requireRun(t, db, r)
	}
	o.requireAll(t, db)
	for _, way := range []string{"kafka", "rabbitmq"} { // Redis has no headers
		require.Subset(t, row[string](t, db, "SELECT groupArray(SpanName) FROM otel_traces WHERE TraceId = '"+traceOf(way)+"'"),
			[]string{"dwell " + way + "/scouter_monitoring", "process " + way + "/scouter_monitoring", "process inbox", "process records"}, way)
	}
}

// settle waits until the account of records says what it must.
func (o *onBrokers) settle(t *testing.T) {
	t.Helper()
	o.Account(t, "records", func(a *ledgerv1.Account) bool {
		is := a.GetAccepted() == o.accepted && a.GetStored() == o.stored && a.GetDeadLettered() == o.dead && mesh.AllSettled(a) && a.GetBalanced()
		for reason, n := range o.rejected {
			is = is && a.GetRejected()[reason] == n
		}
		return is
	})
}

// counted notes runs of the client: of each, one mean was no number.
func (o *onBrokers) counted(runs uint64) {
	o.accepted, o.stored, o.rejected["not_finite"] = o.accepted+109*runs, o.stored+108*runs, o.rejected["not_finite"]+runs
}

// client lets the published client speak over all three at once, and read everything back.
func (o *onBrokers) client(t *testing.T) {
	python(t)
	scripts := map[string]*script{}
	for _, way := range ways {
		scripts[way] = o.drive(t, o.Addresses, way)
	}
	for _, way := range ways {
		r := &report{}
		scripts[way].end(r)
		o.reports = append(o.reports, r)
	}
	o.counted(3)
	o.settle(t)
}

// sample is something of what was recorded.
func sample(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(mesh.Root(t), "internal/scouter/testdata", name))
	require.NoError(t, err)
	return raw
}

// register registers a profile as the client did, and gives its uid.
func register(t *testing.T, c *caller, body []byte) string {
	t.Helper()
	var made struct{ UID string }
	require.Equal(t, http.StatusOK, c.call(http.MethodPost, "profile", body, &made, "Content-Type", "application/json"))
	return made.UID
}

// recorded publishes a whole run of the client on each broker as it was recorded, but for
// the uids that the mesh gives; every message twice, which counts once.
func (o *onBrokers) recorded(t *testing.T) {
	c := login(t, o.HTTP, "admin", "admin")
	for _, way := range ways {
		r, lines := recordedRun(t, c)
		o.publish(t, way, "", append(lines, lines...)...)
		o.reports = append(o.reports, r)
	}
	o.counted(3)
	o.settle(t)
}

// recordedRun is a whole run of the client, message by message, of profiles that are
// registered for it.
func recordedRun(t *testing.T, c *caller) (r *report, lines [][]byte) {
	t.Helper()
	r = &report{}
	require.NoError(t, json.Unmarshal(sample(t, "report.json"), r))
	run := string(sample(t, "run.jsonl"))
	for kind, file := range map[string]string{"spc": "spc", "psi": "psi", "custom": "custom", "eval": "genai"} {
		uid := register(t, c, sample(t, "profile-"+file+".json"))
		run = strings.ReplaceAll(run, r.Profiles[kind].UID, uid)
		r.Profiles[kind] = struct{ UID string }{uid}
	}
	for line := range strings.Lines(run) {
		lines = append(lines, []byte(line))
	}
	return r, lines
}

// custom is an element: a metric of a profile.
func custom(uid string, value float64) string {
	return fmt.Sprintf(`{"Custom":{"created_at":"2026-11-26T23:34:36.694692282Z","uid":%q,"metric":"mae","value":%v,"entity_id":0}}`, uid, value)
}

func batchOf(elements ...string) []byte {
	return []byte(`{"records":[` + strings.Join(elements, ",") + `]}`)
}

// notKnown sends records of profiles that are not there, beside one of a profile that is,
// by each of the five ways: they wait, and count once when the profile is there.
func (o *onBrokers) notKnown(t *testing.T) {
	c := login(t, o.HTTP, "admin", "admin")
	known := register(t, c, sample(t, "profile-custom.json"))
	messages, uids := map[string][]byte{}, map[string]string{}
	for i, way := range append([]string{"http", "grpc"}, ways...) {
		uids[way] = uuid.NewString()
		messages[way] = batchOf(custom(uids[way], 1), custom(known, float64(i)), custom(uids[way], 1))
		switch way {
		case "http":
			require.Equal(t, http.StatusOK, c.call(http.MethodPost, "message", messages[way], nil, "Content-Type", "application/json"))
		case "grpc":
			ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+c.token)
			took, err := scouterv1.NewMessageServiceClient(o.Conn(t)).InsertMessage(ctx, &scouterv1.InsertMessageRequest{MessageRecord: messages[way]})
			require.NoError(t, err)
			require.Equal(t, "success", took.GetStatus())
		default:
			o.publish(t, way, "", messages[way])
		}
		o.accepted, o.stored, o.dead = o.accepted+3, o.stored+1, o.dead+2
	}
	o.settle(t)
	o.requireLetters(t, uids)
	for _, uid := range uids {
		o.bring(t, uid)
	}
	o.stored, o.dead = o.stored+10, o.dead-10
	mesh.Await(t, time.Minute, func() error { // who asked for a profile in vain does not ask again for two seconds
		o.MustCLI(t, "dlq", "redrive", "--reason", "unknown_profile")
		if left := o.MustCLI(t, "dlq", "list", "--reason", "unknown_profile"); strings.Contains(left, "parked") {
			return fmt.Errorf("still parked: %s", left)
		}
		return nil
	})
	o.settle(t)
	for _, way := range ways { // it comes again, and changes nothing
		o.publish(t, way, "", messages[way])
	}
	o.settle(t)
}

// requireLetters requires that what waits can be read: the elements as they came.
func (o *onBrokers) requireLetters(t *testing.T, uids map[string]string) {
	t.Helper()
	var list struct {
		Letters []struct {
			ID    string `json:"id"`
			Count string `json:"count"`
		} `json:"dead_letters"`
	}
	o.JSON(t, &list, "dlq", "list", "--reason", "unknown_profile")
	require.Len(t, list.Letters, len(uids))
	var shown []string
	for _, l := range list.Letters {
		require.Equal(t, "2", l.Count)
		shown = append(shown, o.MustCLI(t, "dlq", "show", l.ID, "--value"))
		require.Contains(t, o.MustCLI(t, "dlq", "show", l.ID), "there is no profile")
	}
	for _, uid := range uids {
		require.Contains(t, shown, string(batchOf(custom(uid, 1), custom(uid, 1))))
	}
}

// bring registers a profile under the uid that it has elsewhere.
func (o *onBrokers) bring(t *testing.T, uid string) {
	t.Helper()
	var asked struct {
		DriftType string `json:"drift_type"`
		Profile   string
	}
	require.NoError(t, json.Unmarshal(sample(t, "profile-custom.json"), &asked))
	p, err := scouter.Profile(asked.DriftType, []byte(asked.Profile))
	require.NoError(t, err)
	p.Name = "brought-" + uid + ".custom"
	made := wire.Message(p)
	made.Active = true
	_, err = driftv1.NewDriftServiceClient(o.Conn(t)).CreateProfile(t.Context(), &driftv1.CreateProfileRequest{
		Profile: made, Uid: uid, Origin: &driftv1.Origin{Format: scouter.FormatPrefix + asked.DriftType, Document: []byte(asked.Profile)},
	})
	require.NoError(t, err)
}

func traceOf(way string) string { return fmt.Sprintf("%032x", []byte("trace by " + way)[:12]) }

// anything publishes what nobody understands, and behind it what is good.
func (o *onBrokers) anything(t *testing.T) {
	c := login(t, o.HTTP, "admin", "admin")
	known := register(t, c, sample(t, "profile-custom.json"))
	for i, way := range ways {
		junk := [][]byte{
			[]byte("no JSON, by " + way), []byte(`{"records":["` + way), {0x1f, 0x8b, 8, byte(i)}, []byte(`{"records":` + strings.Repeat("[", 20_000+i)),
			[]byte(`{"request":{"resourceSpans":"` + way + `"}}`),
		}
		o.dead += uint64(len(junk) - 1) // that of spans is on their account
		mixed := batchOf(`{"Observability":{"uid":"`+way+`"}}`, `"`+way+`"`, custom(known, 100+float64(i)), `{"Custom":{"uid":"`+known+`","metric":"f1","created_at":"2026-11-26T23:34:36Z","value":null}}`)
		o.accepted += uint64(len(junk) - 1 + 4)
		o.stored++
		o.rejected["malformed"], o.rejected["not_finite"] = o.rejected["malformed"]+2, o.rejected["not_finite"]+1
		if way != "kafka" { // which takes no more than a megabyte
			junk = append(junk, bytes.Repeat([]byte{'a' + byte(i)}, 24<<20))
			o.dead++
			o.accepted++
		}
		o.publish(t, way, "", junk...)
		o.publish(t, way, "00-"+traceOf(way)+"-00f067aa0ba902b7-01", mixed)
	}
	o.settle(t)
	o.Account(t, "spans", func(a *ledgerv1.Account) bool { return a.GetDeadLettered() == 3 })
}

// streamReport is what stream.py says that it sent.
type streamReport struct {
	UIDs          []string
	Rounds, Spans uint64
	Profiles      map[string]string
}

// killed kills the mesh twice while the published client publishes on the brokers that
// keep what it publishes: nothing is lost, and nothing counts twice.
func (o *onBrokers) killed(t *testing.T) {
	python(t)
	o.streams = map[string]*streamReport{}
	scripts := map[string]*script{}
	for _, way := range []string{"kafka", "rabbitmq"} {
		scripts[way] = begin(t, "stream.py", append(o.addresses(), "--transport", way, "--run", "stream-"+way, "--http", "http://"+o.HTTP)...)
	}
	for range 2 {
		o.accepted += 500
		o.Account(t, "records", func(a *ledgerv1.Account) bool { return a.GetAccepted() >= o.accepted })
		o.Kill()
		mesh.Await(t, time.Minute, func() error { // the client goes on
			if kafka, rabbitmq := o.behind(t); kafka < 5 || rabbitmq < 5 {
				return fmt.Errorf("%d and %d messages wait", kafka, rabbitmq)
			}
			return nil
		})
		o.Boot()
	}
	for way, s := range scripts {
		o.streams[way] = &streamReport{}
		s.end(o.streams[way])
	}
	mesh.Await(t, time.Minute, func() error {
		if kafka, rabbitmq := o.behind(t); kafka != 0 || rabbitmq != 0 {
			return fmt.Errorf("%d and %d messages wait", kafka, rabbitmq)
		}
		return nil
	})
	o.Settled(t, "records")
}

// requireAll requires of the store what was streamed: the records that have names, and
// the spans, each once.
func (o *onBrokers) requireAll(t *testing.T, db *clickhouse.DB) {
	t.Helper()
	for way, s := range o.streams {
		require.Greater(t, len(s.UIDs), 500)
		require.ElementsMatch(t, s.UIDs, row[string](t, db, "SELECT groupArray(RecordId) FROM contexts FINAL WHERE Tenant = 'default' AND Profile = '"+s.Profiles["eval"]+"'"), way)
		require.Equal(t, []uint64{s.Spans, s.Spans}, row[uint64](t, db, `SELECT [count(), uniqExact(TraceId, SpanId)] FROM otel_traces
			WHERE Tenant = 'default' AND ServiceName = 'drive-stream-`+way+"'"), way)
		require.Equal(t, []uint64{100 * s.Rounds}, row[uint64](t, db, `SELECT [sum(Counted)] FROM observations FINAL
			WHERE Tenant = 'default' AND CountedFeature = 1 AND Profile = '`+s.Profiles["psi"]+"'"), way)
	}
}

// Two workers hear every message of Redis, and it counts once; when one is killed, the
// other still hears everything.
func TestTwoWorkersHearRedis(t *testing.T) {
	t.Parallel()
	b := theirs{redis: redis.Start(t, redis.Options{})}
	f := mesh.StartFive(t, "DRIFTMESH_AUTH_SCOUTER_ACCOUNTS=true", "DRIFTMESH_TELEMETRY_DISABLE=true", "DRIFTMESH_INGEST_WORKER_SCOUTER_REDIS="+b.redis.URL())
	f.Join("ingest-worker")
	r, lines := recordedRun(t, login(t, f.HTTP, "admin", "admin"))
	half := len(lines) / 2
	b.publish(t, "redis", "", lines[:half]...)
	f.Kill("ingest-worker")
	b.publish(t, "redis", "", lines[half:]...)
	f.Restart("ingest-worker")
	f.Account(t, "records", func(a *ledgerv1.Account) bool {
		return a.GetAccepted() == 109 && a.GetStored() == 108 && a.GetRejected()["not_finite"] == 1 && mesh.AllSettled(a) && a.GetBalanced()
	})
	f.Settled(t, "spans")
	requireRun(t, openStore(t, f.ClickHouseURL), r)
}
