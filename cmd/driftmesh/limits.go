package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/driftmesh/driftmesh/internal/quota"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
)

type tenantLimitsShowCmd struct {
	clientFlags
	Name string `arg:"" optional:"" help:"Tenant; your own when not given."`
}

// Run shows the limits of the tenant.
func (c tenantLimitsShowCmd) Run(ctx context.Context, con console) error {
	return call(ctx, con, c.clientFlags, authv1.NewAuthServiceClient, authv1.AuthServiceClient.GetLimits,
		&authv1.GetLimitsRequest{Tenant: c.Name}, func(w io.Writer, r *authv1.GetLimitsResponse) {
			showLimits(w, r.GetLimits(), r.GetOverrides())
		})
}

type tenantLimitsSetCmd struct {
	clientFlags
	Name   string   `arg:"" help:"Tenant."`
	Limits []string `arg:"" help:"Limits, such as ingest-rate=8MiB, tails=4 or shortest-schedule=1m; 0 is no limit, and default is that of the settings." placeholder:"LIMIT=VALUE"`
}

// Run sets the limits of the tenant and shows all of them.
func (c tenantLimitsSetCmd) Run(ctx context.Context, con console) error {
	req := &authv1.SetLimitsRequest{Tenant: c.Name}
	own := quota.Own{}
	for _, text := range c.Limits {
		limit, value, found := strings.Cut(text, "=")
		if !found {
			return fmt.Errorf("%q is not LIMIT=VALUE", text)
		}
		name, err := quota.ParseName(limit)
		if err != nil {
			return err
		}
		if value == "default" {
			req.ToDefault = append(req.ToDefault, name.String())
			continue
		}
		if own[name], err = name.Parse(value); err != nil {
			return err
		}
	}
	req.Limits = own.Message()
	return call(ctx, con, c.clientFlags, authv1.NewAuthServiceClient, authv1.AuthServiceClient.SetLimits, req,
		func(w io.Writer, r *authv1.SetLimitsResponse) { showLimits(w, r.GetLimits(), r.GetOverrides()) })
}

func showLimits(w io.Writer, limits, overrides *authv1.Limits) {
	all, err := quota.OwnOf(limits)
	own, ownErr := quota.OwnOf(overrides)
	if err != nil || ownErr != nil {
		row(w, "limits of a release that this one does not know")
		return
	}
	row(w, "LIMIT", "VALUE", "FROM")
	for _, name := range quota.Names() {
		value, from := "none", "the defaults"
		switch n := all[name]; {
		case n > 0:
			value = name.Format(n)
		case name == quota.InFlight, name == quota.BacklogBytes:
			value = "its share"
		}
		if _, has := own[name]; has {
			from = "its own"
		}
		row(w, name, value, from)
	}
}
