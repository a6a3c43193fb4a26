package main

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/crypto/bcrypt"

	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/settings"
)

const (
	// producerUser is who publishes past the gateway.
	producerUser = "producer"
	// producerAccount keeps producers apart from the mesh: an account of its own
	// sees nothing of what is said in others, such as the answers on which
	// messages come to the services, and which any permission for "_INBOX.>" in
	// the same account would show.
	producerAccount = "producers"
	// inboxSubject is where the driver has the topic inbox.
	inboxSubject = "driftmesh." + event.Inbox
)

// producers is the embedded broker's door for producers; nil for none.
type producers struct{ subject string }

// newProducers adds the user producer to the options, unless there is no
// password. Only its door, the subject of the topic inbox, leads out of its
// account, and the acknowledgement comes back the same way.
func newProducers(opts *server.Options, password settings.Secret) (*producers, error) {
	if password == "" {
		return nil, nil
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password.Reveal()), bcrypt.DefaultCost)
	if errors.Is(err, bcrypt.ErrPasswordTooLong) {
		return nil, errors.New("nats.producer-password: has more than 72 bytes")
	}
	if err != nil {
		return nil, fmt.Errorf("nats.producer-password: %w", err)
	}
	account := server.NewAccount(producerAccount)
	opts.Accounts = []*server.Account{account}
	opts.Users = []*server.User{
		{Username: opts.Username, Password: opts.Password},
		{Username: producerUser, Password: string(hash), Account: account, Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: []string{inboxSubject}},
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
		}},
	}
	opts.Username, opts.Password = "", ""
	return &producers{subject: inboxSubject}, nil
}

// admit opens the door on a running server.
func (p *producers) admit(srv *server.Server) error {
	if p == nil {
		return nil
	}
	mesh := srv.GlobalAccount()
	// With accounts of one's own nobody gets streams unasked.
	if !mesh.JetStreamEnabled() {
		if err := mesh.EnableJetStream(nil, nil); err != nil {
			return fmt.Errorf("enable streams of the embedded broker: %w", err)
		}
	}
	account, err := srv.LookupAccount(producerAccount)
	if err != nil {
		return fmt.Errorf("find account of producers: %w", err)
	}
	if err := mesh.AddServiceExport(p.subject, []*server.Account{account}); err != nil {
		return fmt.Errorf("open inbox to producers: %w", err)
	}
	if err := account.AddServiceImport(mesh, p.subject, p.subject); err != nil {
		return fmt.Errorf("open inbox to producers: %w", err)
	}
	return nil
}
