package gateway

import (
	"context"
	"errors"
	"math"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/rpc"
	"github.com/driftmesh/driftmesh/internal/seal"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/services/gateway/internal/audited"
	"github.com/driftmesh/driftmesh/services/gateway/internal/rest"
	"github.com/driftmesh/driftmesh/services/gateway/internal/scouterdoor"
)

// newScouter makes the door for Scouter's clients. What it asks goes through the
// gateway's own public API, as if the caller had asked there.
func (s *Service) newScouter() *scouterdoor.Door {
	own := rpc.Faults(s.loop)
	return scouterdoor.New(scouterdoor.Deps{
		Records: s.records.Take, Spans: s.otlp.Take, Later: s.later, PartBytes: s.partBytes, Login: s.loginStanding, Renew: s.renewToken,
		Identify: func(ctx context.Context, authorization string) (identity.Identity, error) {
			return s.deps.Identify(ctx, authorization, "")
		},
		Drift: driftv1.NewDriftServiceClient(own), Traces: tracev1.NewTraceServiceClient(own), Auth: authv1.NewAuthServiceClient(own),
		Tags: driftv1.NewTagServiceClient(s.deps.Drift),
	})
}

// partBytes is how large a message for the inbox may be.
func (s *Service) partBytes() int {
	if most := s.maxMessage(); most > 0 {
		return max(most-seal.Room, 1)
	}
	return math.MaxInt
}

// laterTimeout bounds how long a caller waits for what is kept for later.
const laterTimeout = 10 * time.Second

// later publishes messages of Scouter's on the topic inbox: whoever works that parks what
// names no profile, where it can be seen and redriven. A caller that goes away does not
// stop it.
func (s *Service) later(ctx context.Context, messages [][]byte) error {
	caller, ok := identity.From(ctx)
	if !ok {
		return fault.Internal.New("nobody is known to call")
	}
	msgs := make([]broker.Message, len(messages))
	for i, value := range messages {
		msgs[i] = s.deps.Seal.Message(seal.Sender{Tenant: caller.Tenant, Principal: caller.Principal()}, event.TypeScouter, value)
		msgs[i].Time = time.Now()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), laterTimeout)
	defer cancel()
	switch err := s.publisher.Publish(ctx, msgs); {
	case err == nil:
		return nil
	case errors.Is(err, broker.ErrTooLarge), errors.Is(err, broker.ErrInvalid): // all else is the broker's fault
		return fault.Invalid.Wrap(err, "a record is larger than the broker takes").WithReason("SCOUTER_RECORDS")
	default:
		return fault.Unavailable.Wrap(err, "the records could not be made durable now").WithReason("BROKER_UNAVAILABLE").WithRetryAfter(time.Second)
	}
}

// scouterRoutes are the routes of its HTTP API.
func (s *Service) scouterRoutes() []rest.Route {
	var all []rest.Route
	for pattern, route := range s.scouter.Routes(s.proxies.OfRequest) {
		all = append(all, rest.Route{Pattern: pattern, Below: policy.ScouterPath, Before: s.scouter.Before, Elsewhere: scouterdoor.Elsewhere, Failer: route})
	}
	return all
}

// asGateway is the context of a call in the gateway's own name, about somebody who
// calls from an address.
func asGateway(ctx context.Context, source string) context.Context {
	ctx = identity.With(ctx, identity.ForService(name, identity.MeshTenant))
	return metadata.AppendToOutgoingContext(ctx, identity.HeaderSource, source)
}

// loginStanding lets somebody in who logs in once. Like every login it is recorded
// before it is answered.
func (s *Service) loginStanding(ctx context.Context, who scouterdoor.Login) (string, error) {
	req := &authv1.LoginStandingRequest{Tenant: who.Tenant, Username: who.Username, Password: who.Password}
	if err := s.auditor.Begin(ctx); err != nil {
		return "", err
	}
	resp, err := authv1.NewAuthServiceClient(s.deps.Auth).LoginStanding(asGateway(ctx, who.Source), req)
	raw, encodeErr := proto.Marshal(req)
	if encodeErr != nil {
		return "", encodeErr
	}
	s.auditor.Done(ctx, audited.Call{Method: authv1.AuthService_LoginStanding_FullMethodName, Input: req.ProtoReflect().Type(), Request: raw}, err)
	return resp.GetToken(), err
}

func (s *Service) renewToken(ctx context.Context, token string) (string, error) {
	resp, err := authv1.NewAuthServiceClient(s.deps.Auth).RenewToken(asGateway(ctx, ""), &authv1.RenewTokenRequest{Token: token})
	return resp.GetToken(), err
}
