package scouterdoor

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	scouterv1 "github.com/driftmesh/driftmesh/proto/scouter/grpc/v1"
)

// Names of Scouter's gRPC.
const (
	// services begins the names of methods.
	services = "/scouter.grpc.v1."
	// refreshed is the metadata of an answer that brings the next token.
	refreshed = "x-refreshed-token"
	// success is the one status of an answer that the clients do not take for a
	// failure.
	success = "success"
)

// Is reports whether a method is one of Scouter's.
func Is(method string) bool { return strings.HasPrefix(method, services) }

// RenewCall gives the authorization to go on with for a call of one of Scouter's
// methods, and tells the caller its next token where there is one.
func (d *Door) RenewCall(ctx context.Context, authorization string) string {
	onward, token := d.Renewed(ctx, authorization)
	if token != "" {
		_ = grpc.SetHeader(ctx, metadata.Pairs(refreshed, token)) // it fails where there is no call
	}
	return onward
}

// Register serves Scouter's gRPC services. source tells where a call comes from.
func (d *Door) Register(reg grpc.ServiceRegistrar, source func(ctx context.Context) string) {
	scouterv1.RegisterMessageServiceServer(reg, &messageServer{door: d})
	scouterv1.RegisterAuthServiceServer(reg, &authServer{door: d, source: source})
}

type messageServer struct {
	scouterv1.UnimplementedMessageServiceServer
	door *Door
}

// InsertMessage implements MessageService.
func (s *messageServer) InsertMessage(ctx context.Context, req *scouterv1.InsertMessageRequest) (*scouterv1.InsertMessageResponse, error) {
	said, err := s.door.take(ctx, req.GetMessageRecord())
	if err != nil {
		return nil, err
	}
	return &scouterv1.InsertMessageResponse{Status: success, Message: said}, nil
}

type authServer struct {
	scouterv1.UnimplementedAuthServiceServer
	door   *Door
	source func(ctx context.Context) string
}

// Login implements AuthService.
func (s *authServer) Login(ctx context.Context, req *scouterv1.LoginRequest) (*scouterv1.LoginResponse, error) {
	tenant, name := named(req.GetUsername())
	token, err := s.door.Login(ctx, Login{Tenant: tenant, Username: name, Password: req.GetPassword(), Source: s.source(ctx)})
	if err != nil {
		return nil, err
	}
	return &scouterv1.LoginResponse{Token: token, Status: success, Message: "Login successful"}, nil
}

// RefreshToken implements AuthService.
func (s *authServer) RefreshToken(ctx context.Context, req *scouterv1.RefreshTokenRequest) (*scouterv1.RefreshTokenResponse, error) {
	token, err := s.door.Renew(ctx, req.GetAccessToken())
	if err != nil {
		return nil, err
	}
	return &scouterv1.RefreshTokenResponse{Token: token, Status: success, Message: "Token refreshed successfully"}, nil
}

// ValidateToken implements AuthService.
func (s *authServer) ValidateToken(ctx context.Context, req *scouterv1.ValidateTokenRequest) (*scouterv1.ValidateTokenResponse, error) {
	err := s.door.validate(ctx, req.GetToken())
	if fault.KindOf(err) == fault.Unauthenticated {
		return &scouterv1.ValidateTokenResponse{Status: "failed", Message: fault.Of(err).Message()}, nil
	}
	if err != nil {
		return nil, err
	}
	return &scouterv1.ValidateTokenResponse{IsAuthenticated: true, Status: success, Message: "Token is valid"}, nil
}

// validate tells whether a token is good.
func (d *Door) validate(ctx context.Context, token string) error {
	if token == "" {
		return fault.Unauthenticated.New("there is no token").WithReason(identity.ReasonMalformed)
	}
	_, err := d.Identify(ctx, "Bearer "+token)
	return err
}
