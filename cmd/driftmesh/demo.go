package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/demo"
	"github.com/driftmesh/driftmesh/internal/settings"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile/wire"
)

// demoCmd is upCmd with a load: every setting of up is one of demo.
type demoCmd struct {
	upCmd `embed:"" set:"data_dir=./data/demo"`
	Load  demo.Config `embed:"" prefix:"demo." group:"demo"`
}

// Run runs the mesh and its load until ctx ends, or the load does.
func (d *demoCmd) Run(ctx context.Context, con console, inForce settings.InForce) error {
	d.InForce = inForce
	if d.Gateway.TLS.On() {
		return errors.New("gateway.tls: the sample load speaks plain text on loopback; leave the certificate to driftmesh up")
	}
	demo.Plan(con.out, d.Load)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var loadErr error // run waits for the load before it returns
	err := d.run(ctx, con, func(ctx context.Context) {
		loadErr = d.load(ctx, con)
		stop()
	})
	return errors.Join(loadErr, err)
}

// load registers the profile and sends the load.
func (d *demoCmd) load(ctx context.Context, con console) error {
	data, err := demo.NewData()
	if err != nil {
		return err
	}
	made, err := data.Profile()
	if err != nil {
		return fmt.Errorf("make profile: %w", err)
	}
	conn, err := clientFlags{connectFlags: connectFlags{Addr: d.Gateway.GRPC, APIKey: d.Load.APIKey}}.dial()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // nothing is lost with it
	client := driftv1.NewDriftServiceClient(conn)
	// Every start has a version of its own: what drifted at the end of the one
	// before would be in the past of this one.
	request := &driftv1.CreateProfileRequest{Profile: wire.Message(made)}
	request.Profile.Active = true
	registered, err := client.CreateProfile(ctx, request)
	if err != nil {
		return fmt.Errorf("register profile: %w", err)
	}
	p := registered.GetProfile()
	fmt.Fprintf(con.out, "The mesh is ready on http://%s and knows the profile %s/%s/%s: %d features of %d wines.\n\n",
		d.Gateway.HTTP, p.GetSpace(), p.GetName(), p.GetVersion(), len(p.GetFeatures()), p.GetReferenceRows())
	return demo.Load{
		Config: d.Load, Data: data, Profile: p, Drift: client, GRPC: d.Gateway.GRPC, OTLP: d.Gateway.OTLPGRPC, Out: con.out,
		Guide: demo.Guide{HTTP: d.Gateway.HTTP, Program: programName(), Flags: d.findFlags()},
	}.Run(ctx)
}

// defaultGRPC is where commands look for the mesh when they are not told.
const defaultGRPC = "127.0.0.1:50051"

// findFlags is what a command needs to find this mesh.
func (d *demoCmd) findFlags() string {
	if d.Gateway.GRPC == defaultGRPC {
		return ""
	}
	return "--addr " + d.Gateway.GRPC
}

// programName is how a user in this directory calls this program.
func programName() string {
	name := os.Args[0]
	dir, err := os.Getwd()
	if err != nil || !filepath.IsAbs(name) {
		return name
	}
	if rel, err := filepath.Rel(dir, name); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return name
}
