// Package audited says which calls of the public API are recorded in the account of
// who did what, and makes an entry of a call.
//
// What changes something, logs somebody in or shows dead letters is recorded before
// it is answered, and not begun while that cannot be done; so is what of it failed.
// What is refused to somebody is counted, whatever it was, and so is what works for
// anybody. An entry is there for ever: a tenant makes them at a pace.
package audited

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/driftmesh/driftmesh/internal/audit"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/quota"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
)

// Recorder keeps entries; audit.Recorder is one.
type Recorder interface {
	Begin(ctx context.Context) error
	Record(ctx context.Context, e audit.Entry)
	Count(e audit.Entry)
}

// Auditor records calls. It is safe for concurrent use. A nil one records nothing.
type Auditor struct {
	Recorder Recorder
	// Source gives the address that a call comes from.
	Source func(ctx context.Context) string
	// Tenants have what each may change at a time; nil is no bound.
	Tenants *quota.Book
}

// permissions are what recorded calls ask for.
var permissions = policy.Of(policy.ProfilesWrite, policy.ProfilesRun, policy.AlertsAcknowledge, policy.AlertsSilence,
	policy.DeadLettersRead, policy.DeadLettersRedrive, policy.UsersWrite, policy.KeysWrite, policy.TenantsWrite,
	policy.SigningKeysRotate, policy.AuditExport, policy.LimitsWrite)

// sessions are calls of people about themselves.
var sessions = map[string]bool{
	authv1.AuthService_Login_FullMethodName:          true,
	authv1.AuthService_LoginStanding_FullMethodName:  true,
	authv1.AuthService_Logout_FullMethodName:         true,
	authv1.AuthService_ChangePassword_FullMethodName: true,
}

// byAuth are calls of which auth alone knows whose they are, and which it takes down
// itself.
var byAuth = map[string]bool{
	authv1.AuthService_FinishLogin_FullMethodName:     true,
	authv1.AuthService_PollDeviceLogin_FullMethodName: true,
	authv1.AuthService_ExchangeToken_FullMethodName:   true,
}

// Is reports whether calls of a method are recorded.
func Is(method string) bool {
	return sessions[method] || permissions.Has(policy.MethodOf(method).Permission)
}

// Call is a call that is recorded or may turn out to have to be.
type Call struct {
	Method string
	// Input is the type of the request, and Request the request as it came.
	Input   protoreflect.MessageType
	Request []byte
}

// Begin is to be asked before a recorded call is done. It gives fault.Unavailable
// when it could not be recorded, and fault.Exhausted when the caller's tenant has done
// too much of it just now.
func (a *Auditor) Begin(ctx context.Context) error {
	if a == nil {
		return nil
	}
	if id, ok := identity.From(ctx); ok && a.Tenants != nil {
		if err := a.Tenants.Of(id.Tenant).Change(time.Now()); err != nil {
			return err
		}
	}
	return a.Recorder.Begin(ctx)
}

// Done takes down how a call ended.
func (a *Auditor) Done(ctx context.Context, c Call, err error) {
	refused := audit.Refused(err)
	if a == nil || byAuth[c.Method] || !Is(c.Method) && !refused {
		return
	}
	e := a.entry(ctx, c.Method, err)
	about(&e, c, err == nil)
	// As many as somebody likes to try, and of a logout nobody says whose it was: one
	// with a token that was made up is none, and is not told so.
	if refused || err != nil && sessions[c.Method] || e.Actor == "" {
		a.Recorder.Count(e)
		return
	}
	a.Recorder.Record(ctx, e)
}

// Refused counts a call or a request that was refused at the door: action is its
// method or its route, and source where it came from.
func (a *Auditor) Refused(ctx context.Context, action, source string, err error) {
	if a != nil && audit.Refused(err) {
		e := a.entry(ctx, action, err)
		e.Source = source
		a.Recorder.Count(e)
	}
}

func (a *Auditor) entry(ctx context.Context, action string, err error) audit.Entry {
	e := audit.Entry{Action: action, Source: a.Source(ctx)}
	e.End(err)
	if id, ok := identity.From(ctx); ok {
		e.Tenant, e.Actor, e.Kind, e.Home = id.Tenant, id.Subject, string(id.Kind), id.Tenant
	}
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		e.Trace = span.TraceID().String()
	}
	return e
}

// named are the fields of requests that say what a call is about. It is a list of
// what is taken, so that no secret gets into the account.
var named = map[protoreflect.Name]bool{
	"id": true, "ids": true, "name": true, "username": true, "tenant": true, "role": true, "permissions": true, "spaces": true, "space": true,
	"profile": true, "version": true, "active": true, "topic": true, "reason": true, "admin": true, "disabled": true, "expire_time": true, "monitor": true,
	"ingest_rate": true, "ingest_burst": true, "ingest_items": true, "ingest_items_burst": true, "in_flight": true, "backlog": true, "tails": true,
	"profiles": true, "shortest_schedule_seconds": true, "queries": true, "query_seconds": true, "query_read": true, "retained": true, "to_default": true,
}

// maxNamed bounds the fields of an entry, and maxNested how deep they are looked for.
const maxNamed, maxNested = 16, 2

// about adds what the call is about, and who calls where only the request says so. It
// is about another tenant than the caller's when it was done: whoever may not, or
// fails, writes nothing into another's account.
func about(e *audit.Entry, c Call, done bool) {
	if c.Input == nil {
		return
	}
	req := c.Input.New()
	if err := proto.Unmarshal(c.Request, req.Interface()); err != nil {
		return
	}
	if login, ok := req.Interface().(interface {
		GetTenant() string
		GetUsername() string
	}); ok && e.Actor == "" {
		e.Actor, e.Kind, e.Home = login.GetUsername(), string(identity.User), login.GetTenant()
		if e.Home == "" {
			e.Home = identity.DefaultTenant
		}
	}
	if other, ok := req.Interface().(interface{ GetTenant() string }); ok && other.GetTenant() != "" && done {
		e.Tenant = other.GetTenant()
	} else if e.Tenant == "" {
		e.Tenant = e.Home
	}
	var parts []string
	describe(req, maxNested, func(part string) {
		if len(parts) < maxNamed {
			parts = append(parts, part)
		}
	})
	e.Object = strings.Join(parts, " ")
}

// describe gives "field=value" of the named fields that are set, in the order of the
// proto.
func describe(m protoreflect.Message, depth int, to func(string)) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case !m.Has(f) || f.IsMap():
		case f.Message() != nil && !f.IsList():
			if depth > 1 {
				describe(m.Get(f).Message(), depth-1, to)
			}
		case !named[f.Name()] || f.Message() != nil || f.Kind() == protoreflect.BytesKind:
		case f.IsList():
			list := m.Get(f).List()
			for i := range min(list.Len(), maxNamed) {
				to(part(f, list.Get(i)))
			}
		default:
			to(part(f, m.Get(f)))
		}
	}
}

// part is "field=value". A text that could be taken for more than one is quoted.
func part(f protoreflect.FieldDescriptor, v protoreflect.Value) string {
	if text, ok := v.Interface().(string); ok && (strings.ContainsAny(text, "=\"\\") || strings.ContainsFunc(text, unicode.IsSpace)) {
		return fmt.Sprintf("%s=%q", f.Name(), text)
	}
	return fmt.Sprintf("%s=%v", f.Name(), v)
}
