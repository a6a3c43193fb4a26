package scouterdoor

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/scouter"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

// ofUser is the type of entities whose tags hold what the mesh has no place for.
const (
	ofUser   = "user"
	favorite = "favorite_spaces"
	// administrator is the role that is also a group.
	administrator = "admin"
)

// user is one as Scouter's API tells it. The mesh keeps no e-mail address.
type user struct {
	Username  string   `json:"username"`
	Email     string   `json:"email"`
	Active    bool     `json:"active"`
	Role      string   `json:"role"`
	May       []string `json:"permissions"`
	Groups    []string `json:"group_permissions"`
	Favorites []string `json:"favorite_spaces"`
}

func (d *Door) userOf(ctx context.Context, u *authv1.User) (*user, error) {
	out := &user{Username: u.GetUsername(), Active: u.GetDisableTime() == nil, Role: u.GetRole(), Favorites: []string{}}
	out.May, out.Groups = scouter.PermissionsOf(u.GetRole(), u.GetSpaces())
	kept, err := d.Tags.ListTags(ctx, &driftv1.ListTagsRequest{EntityType: ofUser, EntityId: u.GetUsername()})
	for _, t := range kept.GetTags() {
		if t.GetKey() == favorite {
			_ = json.Unmarshal([]byte(t.GetValue()), &out.Favorites) // what is no list is none
		}
	}
	if fault.KindOf(err) == fault.Denied {
		err = nil // who may not see tags sees no favourites
	}
	return out, err
}

func (d *Door) users(r *http.Request) (any, error) {
	found, err := d.Auth.ListUsers(asCaller(r.Context(), r), &authv1.ListUsersRequest{})
	if err != nil {
		return nil, err
	}
	all := []*user{}
	for _, u := range found.GetUsers() {
		one, err := d.userOf(r.Context(), u)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return map[string]any{"users": all}, nil
}

func (d *Door) user(r *http.Request) (any, error) {
	u, err := d.findUser(r, r.PathValue("username"))
	if err != nil {
		return nil, err
	}
	return d.userOf(r.Context(), u)
}

// findUser gives a user to itself or to whoever may see users.
func (d *Door) findUser(r *http.Request, name string) (*authv1.User, error) {
	ctx := asCaller(r.Context(), r)
	found, err := d.Auth.ListUsers(ctx, &authv1.ListUsersRequest{})
	if fault.KindOf(err) == fault.Denied {
		who, ok := identity.From(r.Context())
		if !ok || who.Kind != identity.User || who.Subject != name {
			return nil, errNoUser(name) // nobody is told who else there is
		}
		me, err := d.Auth.WhoAmI(ctx, &authv1.WhoAmIRequest{})
		return &authv1.User{Tenant: me.GetTenant(), Username: me.GetSubject(), Role: me.GetRole(), Spaces: me.GetSpaces()}, err
	}
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(found.GetUsers(), func(u *authv1.User) bool { return u.GetUsername() == name })
	if i < 0 {
		return nil, errNoUser(name)
	}
	return found.GetUsers()[i], nil
}

func errNoUser(name string) error {
	return fault.NotFound.New("there is no user %.100q", name).WithReason("USER_NOT_FOUND")
}

// userChange is what is asked of a user that is made or changed.
type userChange struct {
	Username  string    `json:"username"`
	Password  *string   `json:"password"`
	May       *[]string `json:"permissions"`
	Groups    *[]string `json:"group_permissions"`
	Role      *string   `json:"role"`
	Active    *bool     `json:"active"`
	Favorites *[]string `json:"favorite_spaces"`
}

// rights are those of the mesh that come nearest, and never more.
func (c *userChange) rights() (role string, spaces []string, err error) {
	var may, groups []string
	if c.May != nil {
		may = *c.May
	} else {
		may = scouter.UsualPermissions()
	}
	if c.Groups != nil {
		groups = *c.Groups
	}
	if c.Role != nil && *c.Role == administrator {
		groups = append(groups, *c.Role)
	}
	return scouter.RoleOf(may, groups)
}

func (d *Door) createUser(r *http.Request) (any, error) {
	req, err := asked[userChange](r)
	if err != nil {
		return nil, err
	}
	role, spaces, err := req.rights()
	if err != nil {
		return nil, err
	}
	if req.Password == nil || *req.Password == "" {
		return nil, fault.Invalid.New("password is required").WithReason("FIELD_INVALID")
	}
	ctx := asCaller(r.Context(), r)
	made, err := d.Auth.CreateUser(ctx, &authv1.CreateUserRequest{Username: req.Username, Password: *req.Password, Role: role, Spaces: spaces})
	if err == nil && req.Active != nil && !*req.Active {
		_, err = d.Auth.SetUserDisabled(ctx, &authv1.SetUserDisabledRequest{Username: req.Username, Disabled: true})
	}
	if err != nil {
		return nil, err
	}
	one, err := d.userOf(r.Context(), made.GetUser())
	if err != nil {
		return nil, err
	}
	one.Active = req.Active == nil || *req.Active
	return map[string]any{"user": one, "recovery_codes": []string{}, "message": "there are no recovery codes: " + resetHint}, nil
}

// resetHint says who helps those that do not know their password.
const resetHint = "an administrator resets a password with driftmesh user reset-password"

// changeUser changes what may be changed here: a password is changed where the old one
// is asked for.
func (d *Door) changeUser(r *http.Request) (any, error) {
	req, err := asked[userChange](r)
	if err != nil {
		return nil, err
	}
	name := r.PathValue("username")
	u, err := d.findUser(r, name)
	if err != nil {
		return nil, err
	}
	if req.Password != nil {
		return nil, fault.Unsupported.New("a password is changed by whoever knows the old one, with driftmesh passwd; or " + resetHint).WithReason("NOT_SERVED")
	}
	ctx := asCaller(r.Context(), r)
	if req.May != nil || req.Groups != nil || req.Role != nil {
		if req.May == nil {
			may, _ := scouter.PermissionsOf(u.GetRole(), u.GetSpaces())
			req.May = &may
		}
		role, spaces, err := req.rights()
		if err != nil {
			return nil, err
		}
		if _, err := d.Auth.SetUserRole(ctx, &authv1.SetUserRoleRequest{Username: name, Role: role, Spaces: spaces}); err != nil {
			return nil, err
		}
	}
	if req.Active != nil {
		if _, err := d.Auth.SetUserDisabled(ctx, &authv1.SetUserDisabledRequest{Username: name, Disabled: !*req.Active}); err != nil {
			return nil, err
		}
	}
	if req.Favorites != nil {
		list, err := json.Marshal(*req.Favorites)
		if err != nil {
			return nil, fault.Invalid.Wrap(err, "favorite_spaces cannot be kept")
		}
		if err := d.setTags(r.Context(), []scouter.Tag{{EntityType: ofUser, EntityID: name, Key: favorite, Value: string(list)}}); err != nil {
			return nil, err
		}
	}
	return d.user(r)
}

func (d *Door) deleteUser(r *http.Request) (any, error) {
	name := r.PathValue("username")
	_, err := d.Auth.DeleteUser(asCaller(r.Context(), r), &authv1.DeleteUserRequest{Username: name})
	if err != nil {
		return nil, err
	}
	return done("User " + strings.ToValidUTF8(name, "?") + " deleted"), nil
}
