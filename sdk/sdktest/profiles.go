package sdktest

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile/wire"
)

// registered is a profile and the request that made it.
type registered struct {
	request string
	*driftv1.Profile
}

// Profiles are copies of what was registered, in order.
func (g *Gateway) Profiles() []*driftv1.Profile {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]*driftv1.Profile, len(g.known))
	for i, p := range g.known {
		out[i] = proto.CloneOf(p.Profile)
	}
	return out
}

// CreateProfile implements the service: it validates as the mesh does, but for
// what only the mesh can know, and counts versions.
func (g *Gateway) CreateProfile(ctx context.Context, req *driftv1.CreateProfileRequest) (*driftv1.CreateProfileResponse, error) {
	g.called(ctx)
	if _, err := wire.Profile(req.GetProfile()); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	versions := 0
	for _, p := range g.known {
		if req.GetRequestId() != "" && p.request == req.GetRequestId() {
			return &driftv1.CreateProfileResponse{Profile: proto.CloneOf(p.Profile)}, g.failing()
		}
		if p.GetSpace() == req.GetProfile().GetSpace() && p.GetName() == req.GetProfile().GetName() {
			versions++
		}
	}
	made := &registered{req.GetRequestId(), proto.CloneOf(req.GetProfile())}
	made.Uid = fmt.Sprintf("00000000-0000-7000-8000-%012d", len(g.known)+1)
	if made.GetVersion() == "" {
		made.Version = fmt.Sprintf("0.%d.0", versions+1)
	}
	g.known = append(g.known, made)
	// A call that fails has been done: the answer is what gets lost.
	return &driftv1.CreateProfileResponse{Profile: proto.CloneOf(made.Profile)}, g.failing()
}

// GetProfile implements the service.
func (g *Gateway) GetProfile(ctx context.Context, req *driftv1.GetProfileRequest) (*driftv1.GetProfileResponse, error) {
	g.called(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.failing(); err != nil {
		return nil, err
	}
	for i := len(g.known) - 1; i >= 0; i-- {
		p := g.known[i]
		name := p.GetSpace() + "/" + p.GetName()
		if ref := req.GetProfile(); ref == p.GetUid() || ref == name || ref == name+"/"+p.GetVersion() {
			return &driftv1.GetProfileResponse{Profile: proto.CloneOf(p.Profile)}, nil
		}
	}
	return nil, status.Errorf(codes.NotFound, "there is no profile %q", req.GetProfile())
}

// failing is the error that the next call is to end with; mu is held.
func (g *Gateway) failing() error {
	if len(g.fail) == 0 {
		return nil
	}
	err := g.fail[0]
	g.fail = g.fail[1:]
	return err
}
