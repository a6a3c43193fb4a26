// Package running tells administrators of the mesh with what the gateway's process
// runs: its settings as they are in force, and its certificates.
package running

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/process"
	"github.com/driftmesh/driftmesh/internal/settings"
	meshv1 "github.com/driftmesh/driftmesh/proto/driftmesh/mesh/v1"
)

// Config says what is told. What is nil is told as nothing.
type Config struct {
	Instance, Version string
	Settings          func() []settings.Setting
	Certificates      func() []process.Certificate
}

// Service answers MeshService. It is safe for concurrent use.
type Service struct {
	meshv1.UnimplementedMeshServiceServer
	cfg Config
}

var _ meshv1.MeshServiceServer = (*Service)(nil)

// New makes the service.
func New(cfg Config) *Service { return &Service{cfg: cfg} }

// ListSettings gives every setting, without secrets.
func (s *Service) ListSettings(ctx context.Context, _ *meshv1.ListSettingsRequest) (*meshv1.ListSettingsResponse, error) {
	if err := identity.Authorize(ctx, policy.SettingsRead); err != nil {
		return nil, err
	}
	resp := &meshv1.ListSettingsResponse{Instance: s.cfg.Instance, Version: s.cfg.Version}
	if s.cfg.Settings == nil {
		return resp, nil
	}
	for _, one := range s.cfg.Settings() {
		resp.Settings = append(resp.Settings, &meshv1.Setting{
			Name: one.Name, Value: one.Value, DefaultValue: one.Default, Source: one.Source, Help: one.Help, Secret: one.Secret,
		})
	}
	return resp, nil
}

var roles = map[process.Role]meshv1.Certificate_Role{
	process.Own: meshv1.Certificate_ROLE_OWN, process.Authority: meshv1.Certificate_ROLE_AUTHORITY, process.Peer: meshv1.Certificate_ROLE_PEER,
}

// ListCertificates gives every certificate, without keys.
func (s *Service) ListCertificates(ctx context.Context, _ *meshv1.ListCertificatesRequest) (*meshv1.ListCertificatesResponse, error) {
	if err := identity.Authorize(ctx, policy.SettingsRead); err != nil {
		return nil, err
	}
	resp := &meshv1.ListCertificatesResponse{Instance: s.cfg.Instance}
	if s.cfg.Certificates == nil {
		return resp, nil
	}
	for _, c := range s.cfg.Certificates() {
		resp.Certificates = append(resp.Certificates, &meshv1.Certificate{
			Role: roles[c.Role], Service: c.Service, Setting: c.Setting,
			Subject: c.Subject, Names: c.Names, Issuer: c.Issuer, Serial: c.Serial,
			NotBefore: timestamppb.New(c.NotBefore), NotAfter: timestamppb.New(c.NotAfter), File: c.File, Problem: c.Problem,
		})
	}
	return resp, nil
}
