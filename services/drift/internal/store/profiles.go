package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Registered is a profile as it is kept. Its Profile is shared and must not be
// changed.
type Registered struct {
	Tenant  string
	Active  bool
	Created time.Time
	*profile.Profile
}

// Title is the profile as people write it: space/name/version.
func (r *Registered) Title() string { return r.Space + "/" + r.Name + "/" + r.Version }

// NewProfile is a profile to register.
type NewProfile struct {
	Tenant  string
	Active  bool
	Request string    // "" or what makes the call idempotent
	Now     time.Time // its schedule counts from here
	First   time.Time // the first slot of its schedule
	Room    Room
	Profile *profile.Profile
	Origin  *Origin // what it was made from; nil for nothing
	UID     string  // to keep of a profile from elsewhere; "" for a fresh one
}

// Room bounds how many profiles of a tenant are active. The zero Room is no bound.
type Room struct {
	Most int64
	Full func(active int64) error // makes the error when there would be more
}

// check is asked once everything is as it is to be.
func (r Room) check(ctx context.Context, tx *sqlstate.Tx, tenant string) error {
	if r.Most <= 0 {
		return nil
	}
	var active int64
	if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM profiles WHERE tenant = ? AND active = ?`, tenant, true).Scan(&active); err != nil {
		return err
	}
	if active > r.Most {
		return r.Full(active - 1)
	}
	return nil
}

// CreateProfile registers a valid profile, with a fresh UUIDv7 unless it brings a uid and, when it has
// none, the next minor version: 0.1.0 at first. A tenant's request that was done
// before gives the profile made then. Errors: fault.Exists when the version or
// the uid is there, fault.Invalid when it is no X.Y.Z. An active one takes the place of all
// lower versions.
func (s *State) CreateProfile(ctx context.Context, n NewProfile) (*Registered, error) {
	made := *n.Profile
	if made.UID = n.UID; made.UID == "" {
		uid, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("make uid: %w", err)
		}
		made.UID = uid.String()
	}
	registered := &Registered{Tenant: n.Tenant, Active: n.Active, Created: n.Now.Truncate(time.Microsecond).UTC(), Profile: &made}
	err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		if n.Request != "" {
			before, err := one(ctx, tx, `tenant = ? AND request = ?`, n.Tenant, n.Request)
			if !errors.Is(err, fault.NotFound) {
				registered = before
				return err
			}
		}
		v, err := nextVersion(ctx, tx, n)
		if err != nil {
			return err
		}
		made.Version = v.String()
		if err := insertProfile(ctx, tx, registered, v, n); err != nil || !n.Active {
			return err
		}
		if err := supersede(ctx, tx, registered, v, registered.Created); err != nil {
			return err
		}
		return n.Room.check(ctx, tx, n.Tenant)
	})
	if errors.Is(err, fault.Exists) {
		return nil, fault.Exists.Wrap(err, "profile %s, or one of its uid, exists already", registered.Title()).WithReason("PROFILE_EXISTS")
	}
	if err != nil {
		return nil, fmt.Errorf("create profile: %w", err)
	}
	return registered, nil
}

func insertProfile(ctx context.Context, tx *sqlstate.Tx, r *Registered, v version, n NewProfile) error {
	body, err := json.Marshal(r.Profile)
	if err != nil {
		return fmt.Errorf("encode profile: %w", err)
	}
	if _, err := tx.Exec(ctx, `INSERT INTO profiles (uid, tenant, space, name, major, minor, patch, active, created, request, body, service, checks)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.UID, r.Tenant, r.Space, r.Name, v[0], v[1], v[2], r.Active, micros(r.Created), n.Request, string(body), serviceOf(r.Profile), r.Checks != nil); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO schedules (profile, tenant, active, previous, next, attempts, not_before, owner, leased_until)
		VALUES (?, ?, ?, ?, ?, 0, 0, '', 0)`, r.UID, r.Tenant, r.Active, micros(n.Now), micros(n.First))
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO feeds (profile, tenant, first, last, watched, gaps) VALUES (?, ?, 0, 0, ?, '{}')`, r.UID, r.Tenant, micros(n.Now))
	if err != nil {
		return err
	}
	return insertOrigin(ctx, tx, r.UID, n.Origin)
}

func serviceOf(p *profile.Profile) string {
	if p.Source == nil {
		return ""
	}
	return p.Source.Service
}

// version is a semantic version without pre-release.
type version [3]int64

func (v version) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

func parseVersion(text string) (v version, err error) {
	parts := strings.Split(text, ".")
	bad := fault.Invalid.New("version %.50q is not of the form X.Y.Z", text).WithReason("INVALID_VERSION")
	if len(parts) != 3 {
		return v, bad
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil || strconv.FormatUint(n, 10) != part {
			return v, bad
		}
		v[i] = int64(n)
	}
	return v, nil
}

func nextVersion(ctx context.Context, tx *sqlstate.Tx, n NewProfile) (v version, err error) {
	if n.Profile.Version != "" {
		return parseVersion(n.Profile.Version)
	}
	err = tx.QueryRow(ctx, `SELECT major, minor, patch FROM profiles WHERE tenant = ? AND space = ? AND name = ?
		ORDER BY major DESC, minor DESC, patch DESC LIMIT 1`, n.Tenant, n.Profile.Space, n.Profile.Name).Scan(&v[0], &v[1], &v[2])
	if err != nil && !errors.Is(err, fault.NotFound) {
		return v, err
	}
	return version{v[0], v[1] + 1, 0}, nil
}

// Profile finds a profile of the tenant by its uid, by "space/name" (the highest
// version) or by "space/name/version". It is fault.NotFound when there is none.
func (s *State) Profile(ctx context.Context, tenant, ref string) (*Registered, error) {
	parts := strings.Split(ref, "/")
	var found *Registered
	var err error
	switch len(parts) {
	case 1:
		found, err = one(ctx, s.db, `tenant = ? AND uid = ?`, tenant, strings.ToLower(ref))
	case 2:
		found, err = one(ctx, s.db, `tenant = ? AND space = ? AND name = ?`, tenant, parts[0], parts[1])
	case 3:
		v, bad := parseVersion(parts[2])
		if bad != nil {
			return nil, bad
		}
		found, err = one(ctx, s.db, `tenant = ? AND space = ? AND name = ? AND major = ? AND minor = ? AND patch = ?`,
			tenant, parts[0], parts[1], v[0], v[1], v[2])
	default:
		return nil, fault.Invalid.New("profile %.300q is neither a uid nor space/name nor space/name/version", ref).WithReason("INVALID_PROFILE_NAME")
	}
	if errors.Is(err, fault.NotFound) {
		return nil, NoProfile(ref)
	}
	return found, err
}

func one(ctx context.Context, q sqlstate.Querier, where string, args ...any) (*Registered, error) {
	found, err := sqlstate.All(ctx, q, scanProfile, `SELECT tenant, active, created, body FROM profiles WHERE `+where+
		` ORDER BY major DESC, minor DESC, patch DESC LIMIT 1`, args...)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fault.NotFound.New("there is no such profile")
	}
	return found[0], nil
}

func scanProfile(rows *sql.Rows) (*Registered, error) {
	r := &Registered{Profile: new(profile.Profile)}
	var created int64
	var body string
	if err := rows.Scan(&r.Tenant, &r.Active, &created, &body); err != nil {
		return nil, err
	}
	r.Created = sqlstate.Time(created)
	if err := json.Unmarshal([]byte(body), r.Profile); err != nil {
		return nil, fault.Internal.Wrap(err, "a stored profile cannot be read")
	}
	return r, nil
}

// NoProfile says that there is no such profile.
func NoProfile(ref string) error {
	return fault.NotFound.New("there is no profile %.300q", ref).WithReason("PROFILE_NOT_FOUND")
}

// Profiles chooses profiles of a tenant.
type Profiles struct {
	Tenant string
	Space  string        // "" for all
	Within policy.Spaces // those that may be seen
	// ActiveOnly leaves out those whose schedule is switched off.
	ActiveOnly bool
	After      string // the uid of the last one of the page before, or ""
	Limit      int
}

// ListProfiles lists profiles, newest first.
func (s *State) ListProfiles(ctx context.Context, of Profiles) ([]*Registered, error) {
	within, args := inSpaces("space", of.Within)
	args = append([]any{of.Tenant, of.Space, of.Space, of.After, of.After}, args...)
	if of.ActiveOnly {
		within, args = within+" AND active = ?", append(args, true)
	}
	// UUIDv7 ids sort by the time they were made.
	return sqlstate.All(ctx, s.db, scanProfile, `SELECT tenant, active, created, body FROM profiles
		WHERE tenant = ? AND (? = '' OR space = ?) AND (? = '' OR uid < ?)`+within+` ORDER BY uid DESC LIMIT ?`, append(args, of.Limit)...)
}

// inSpaces is the further condition that a column is one of the spaces, with its
// values; none for all spaces.
func inSpaces(column string, spaces policy.Spaces) (condition string, values []any) {
	for _, space := range spaces.List() {
		values = append(values, space)
	}
	if len(values) == 0 {
		return "", nil
	}
	return " AND " + column + " IN (?" + strings.Repeat(", ?", len(values)-1) + ")", values
}

// Switch says how the schedule of a profile is switched.
type Switch struct {
	Active bool
	Now    time.Time // its schedule counts from here
	First  time.Time // its first slot from then on
	Room   Room
}

// SetActive switches the schedule of a profile on, from now, with the given
// first slot, or off. To switch on what is on changes nothing.
func (s *State) SetActive(ctx context.Context, r *Registered, to Switch) error {
	active, now, first := to.Active, to.Now, to.First
	err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		changed, err := tx.Exec(ctx, `UPDATE profiles SET active = ? WHERE tenant = ? AND uid = ? AND active <> ?`, active, r.Tenant, r.UID, active)
		if err != nil || changed == 0 {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE schedules SET active = ?, previous = ?, next = ?, attempts = 0, not_before = 0, owner = '', leased_until = 0
			WHERE profile = ?`, active, micros(now), micros(first), r.UID)
		if err != nil {
			return err
		}
		if _, err = tx.Exec(ctx, `UPDATE feeds SET watched = ? WHERE profile = ?`, micros(now), r.UID); err != nil || !active {
			return err
		}
		return to.Room.check(ctx, tx, r.Tenant)
	})
	if err != nil {
		return fmt.Errorf("switch profile: %w", err)
	}
	return nil
}
