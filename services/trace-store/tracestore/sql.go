package tracestore

import (
	"google.golang.org/grpc"

	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/sql"
)

// sqlPart is about how many bytes of rows go into one message.
const sqlPart = 256 << 10

// QuerySQL runs a statement of the caller's.
func (t *traces) QuerySQL(req *tracev1.QuerySQLRequest, stream grpc.ServerStreamingServer[tracev1.QuerySQLResponse]) error {
	ctx, tenant, leave, err := t.Enter(stream.Context())
	if err != nil {
		return err
	}
	defer leave()
	part, size := &tracev1.QuerySQLResponse{}, 0
	cut, err := t.sql.Run(ctx, tenant, req.GetQuery(), sql.Result{
		Begin: func(columns []sql.Column) error {
			first := &tracev1.QuerySQLResponse{}
			for _, c := range columns {
				first.Columns = append(first.Columns, &tracev1.SQLColumn{Name: c.Name, Type: c.Type})
			}
			return stream.Send(first)
		},
		Row: func(json string) error {
			part.Rows = append(part.Rows, json)
			if size += len(json); size < sqlPart {
				return nil
			}
			full := part
			part, size = &tracev1.QuerySQLResponse{}, 0
			return stream.Send(full)
		},
	})
	if err != nil || len(part.Rows) == 0 && !cut {
		return err
	}
	part.Truncated = cut
	return stream.Send(part)
}
