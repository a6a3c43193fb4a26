package policy

import (
	"fmt"
	"strings"
)

// Row is a method or a route, with what it asks for and who may.
type Row struct {
	Door       string // grpc, services for what only these call, or the door of a route
	Name       string // /service/method, or verb and path
	Permission Permission
	Roles      []Role // those that can be given and may, at a tenant or at the mesh
}

// Who says the roles in words.
func (r Row) Who() string {
	switch {
	case r.Permission == PublicCall:
		return "anybody"
	case r.Permission == KnownCall:
		return "whoever is known"
	case r.Permission == ServiceCall:
		return "services"
	case mesh.Has(r.Permission):
		return "admin of the mesh"
	}
	words := make([]string, len(r.Roles))
	for i, role := range r.Roles {
		words[i] = string(role)
	}
	return strings.Join(words, ", ")
}

// Table is every method and every route.
func Table() ([]Row, error) {
	var rows []Row
	for _, m := range Methods() {
		door := "grpc"
		if m.Inner {
			door = "services"
		}
		rows = append(rows, rowOf(door, m.Name, m.Permission))
	}
	all, err := Routes()
	for _, r := range all {
		rows = append(rows, rowOf(string(r.Door), r.Pattern(), r.Permission))
	}
	return rows, err
}

func rowOf(door, name string, p Permission) Row {
	row := Row{Door: door, Name: name, Permission: p}
	for _, role := range Roles() {
		if role.Permissions(false).Has(p) || role.Permissions(true).Has(p) {
			row.Roles = append(row.Roles, role)
		}
	}
	return row
}

// Markdown is the table as a page of the documentation.
func Markdown() (string, error) {
	rows, err := Table()
	if err != nil {
		return "", err
	}
	var out strings.Builder
	out.WriteString("# Who may do what\n\nMade by `driftmesh policy --markdown`; [security.md](security.md) says how it is meant.\n\n## Roles\n\n" +
		"| Permission |")
	for _, role := range Roles() {
		fmt.Fprintf(&out, " %s |", role)
	}
	out.WriteString(" admin of the mesh | for certain spaces |\n|---|" + strings.Repeat(":-:|", len(Roles())+2) + "\n")
	mark := func(yes bool) {
		if yes {
			out.WriteString(" ✓ |")
			return
		}
		out.WriteString(" |")
	}
	for p := KnownCall; int(p) < len(names) && names[p] != ""; p++ {
		if p == ServiceCall {
			continue
		}
		fmt.Fprintf(&out, "| `%s` |", p)
		for _, role := range Roles() {
			mark(role.Permissions(false).Has(p))
		}
		mark(Admin.Permissions(true).Has(p))
		mark(spaced.Has(p))
		out.WriteByte('\n')
	}
	out.WriteString("\n## Methods and routes\n\n| Door | Method or route | Permission | Roles |\n|---|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&out, "| %s | `%s` | `%s` | %s |\n", r.Door, r.Name, r.Permission, r.Who())
	}
	return out.String(), nil
}
