package main

import (
	"io"
	"text/tabwriter"

	"github.com/driftmesh/driftmesh/internal/policy"
)

type policyCmd struct {
	Role     string `help:"Only what this role may." placeholder:"ROLE"`
	Markdown bool   `help:"As a page of the documentation." hidden:""`
}

// Run prints what methods and routes ask for, and who may.
func (c policyCmd) Run(con console) error {
	if c.Markdown {
		page, err := policy.Markdown()
		if err != nil {
			return err
		}
		_, err = io.WriteString(con.out, page)
		return err
	}
	role := policy.Role("")
	if c.Role != "" {
		var err error
		if role, err = policy.ParseRole(c.Role); err != nil {
			return err
		}
	}
	rows, err := policy.Table()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(con.out, 0, 4, 2, ' ', 0)
	row(w, "DOOR", "METHOD OR ROUTE", "PERMISSION", "ROLES")
	for _, r := range rows {
		if role == "" || r.Permission == policy.PublicCall || role.Permissions(false).Has(r.Permission) {
			row(w, r.Door, r.Name, r.Permission, r.Who())
		}
	}
	return w.Flush()
}
