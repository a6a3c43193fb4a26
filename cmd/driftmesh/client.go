package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/rpc"
	"github.com/driftmesh/driftmesh/internal/settings"
	"github.com/driftmesh/driftmesh/internal/tlsfiles"
	"github.com/driftmesh/driftmesh/sdk"
)

// connectFlags say which mesh a command talks to, and as whom.
type connectFlags struct {
	Addr    string          `help:"Address of the mesh (gRPC); grpcs://HOST:PORT or https://HOST:PORT to talk TLS." default:"127.0.0.1:50051" env:"DRIFTMESH_ADDR" placeholder:"HOST:PORT"`
	Token   settings.Secret `help:"Access token, as file:PATH, or in the variable; the login that is kept when not given." env:"DRIFTMESH_TOKEN"`
	APIKey  settings.Secret `help:"API key, as file:PATH, or in the variable." env:"DRIFTMESH_API_KEY" name:"api-key"`
	TLS     bool            `help:"Talk TLS; --ca and --cert mean that too." env:"DRIFTMESH_TLS"`
	CA      string          `name:"ca" help:"PEM file of the authorities that the mesh's certificate may be issued by; the system's when not given." env:"DRIFTMESH_CA" placeholder:"FILE"`
	Cert    string          `help:"PEM file of a certificate to show." env:"DRIFTMESH_CERT" placeholder:"FILE"`
	CertKey string          `help:"PEM file of its private key." env:"DRIFTMESH_CERT_KEY" placeholder:"FILE"`

	Credentials string `help:"File that keeps logins; credentials.json in the directory driftmesh of the user's configuration when not given." env:"DRIFTMESH_CREDENTIALS" placeholder:"FILE"`
}

// clientFlags are connectFlags and the form of the answer.
type clientFlags struct {
	connectFlags
	Output string `help:"Form of the answer: table, json or yaml." short:"o" enum:"table,json,yaml" default:"table"`
}

// dial connects with the caller's credentials.
func (c connectFlags) dial() (*grpc.ClientConn, error) {
	return c.connect(&callerCredentials{flags: c})
}

// dialAsNobody connects without credentials, for what needs none.
func (c connectFlags) dialAsNobody() (*grpc.ClientConn, error) { return c.connect(nil) }

func (c connectFlags) connect(caller credentials.PerRPCCredentials) (*grpc.ClientConn, error) {
	target, secure := sdk.ParseTarget(c.Addr)
	cfg := rpc.ClientConfig{Target: target, Credentials: caller}
	if secure || c.TLS || c.CA != "" || c.Cert != "" {
		transport, err := tlsfiles.Client{CA: c.CA, Cert: c.Cert, Key: c.CertKey}.Transport()
		if err != nil {
			return nil, err
		}
		cfg.Transport = transport
	}
	return rpc.Dial(cfg)
}

// show writes an answer: as the user wants it, a table by the given function.
func (c clientFlags) show(to io.Writer, answer proto.Message, table func(*tabwriter.Writer)) error {
	if c.Output == "table" {
		w := tabwriter.NewWriter(to, 0, 4, 2, ' ', 0)
		table(w)
		return w.Flush()
	}
	raw, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(answer)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	// protojson varies its white space on purpose; a script should not see it.
	return c.showJSON(to, string(raw))
}

// showJSON writes an answer that is JSON already, indented, or as YAML.
func (c clientFlags) showJSON(to io.Writer, raw string) error {
	var tree any
	decoder := json.NewDecoder(strings.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&tree); err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	if c.Output == "yaml" {
		return yaml.NewEncoder(to).Encode(plain(tree))
	}
	e := json.NewEncoder(to)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(tree)
}

// plain turns json.Number into text that YAML writes without quotes.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = plain(v[k])
		}
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
	}
	return v
}

// row writes the cells of a table's row, each of which stays on it.
func row(w io.Writer, cells ...any) {
	for i, cell := range cells {
		if i > 0 {
			fmt.Fprint(w, "\t")
		}
		fmt.Fprint(w, safe(fmt.Sprint(cell), true))
	}
	fmt.Fprintln(w)
}

// call dials, calls a method of the client that of makes, and shows the
// answer: what most commands do.
func call[Client any, Req, Resp proto.Message](ctx context.Context, con console, flags clientFlags,
	of func(grpc.ClientConnInterface) Client, method func(Client, context.Context, Req, ...grpc.CallOption) (Resp, error),
	req Req, table func(io.Writer, Resp),
) error {
	conn, err := flags.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	resp, err := method(of(conn), ctx, req)
	if err != nil {
		return err
	}
	return flags.show(con.out, resp, func(w *tabwriter.Writer) { table(w, resp) })
}
