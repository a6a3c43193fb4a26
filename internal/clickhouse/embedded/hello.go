package embedded

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/driftmesh/driftmesh/internal/clickhouse/embedded/chdb"
)

// helloQuery is what clickhouse-go asks first on every HTTP connection.
const helloQuery = "SELECT displayName(), version(), revision(), timezone()"

// hello answers helloQuery. The engine's library writes Native blocks of
// revision 0 whatever the client asks for, and clickhouse-go reads them with
// the revision it is told here; so it is told 0. This one answer it reads with
// its own revision, which it names in the request.
type hello struct {
	name, version, timezone string
}

// newHello asks the engine who it is.
func newHello(conn *chdb.Conn) (hello, error) {
	data, _, err := conn.Query("SELECT version(), timezone()", "TabSeparatedRaw", nil)
	if err != nil {
		return hello{}, fmt.Errorf("ask the engine for its version: %w", err)
	}
	version, timezone, _ := strings.Cut(strings.TrimSpace(string(data)), "\t")
	return hello{name: "driftmesh", version: version, timezone: timezone}, nil
}

func (h hello) asked(req *request) bool {
	return req.kind == selecting && strings.EqualFold(cmp.Or(req.statement.format, req.format), "Native") &&
		strings.TrimSpace(req.text) == helloQuery
}

func (h hello) answer(w http.ResponseWriter, req *request) error {
	var name, version, timezone proto.ColStr
	var revision proto.ColUInt32
	name.Append(h.name)
	version.Append(h.version)
	revision.Append(0)
	timezone.Append(h.timezone)
	block := proto.Block{Columns: 4, Rows: 1}
	var buf proto.Buffer
	err := block.EncodeBlock(&buf, req.revision, []proto.InputColumn{
		{Name: "displayName()", Data: &name}, {Name: "version()", Data: &version},
		{Name: "revision()", Data: &revision}, {Name: "timezone()", Data: &timezone},
	})
	if err != nil {
		return fmt.Errorf("encode hello: %w", err)
	}
	out := &output{w: w, format: "Native", framed: req.compress}
	_ = out.write(buf.Buf)
	return nil
}
