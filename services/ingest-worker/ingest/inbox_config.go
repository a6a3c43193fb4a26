package ingest

import (
	"errors"
	"fmt"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/record"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/admit"
)

// Who may publish to the topic inbox: values of InboxConfig.Auth.
const (
	AuthToken     = "token"     // whoever sends a token or an API key along
	AuthBroker    = "broker"    // whom the broker has verified and Users names
	AuthAnonymous = "anonymous" // as token, and everybody else as tenant default
)

// InboxConfig is what can be set about the topic inbox.
type InboxConfig struct {
	Auth              string   `help:"Who may publish to the topic inbox: token asks for a token or an API key in the message's headers; broker believes the broker, which has to verify its users (RabbitMQ alone does); anonymous is token, and takes messages without credentials too, as tenant default. Empty is token; driftmesh up makes it anonymous where its gateway lets anonymous callers in and its broker is its own, on loopback." enum:",token,broker,anonymous" default:""`
	Users             []string `help:"The broker's users who may publish to the topic inbox, where inbox-auth is broker." placeholder:"USER=TENANT"`
	record.EventTimes `embed:""`
}

// check reports every setting that cannot work.
func (c InboxConfig) check() error {
	var errs []error
	users, err := admit.ParseUsers(c.Users)
	switch {
	case err != nil:
		errs = append(errs, fmt.Errorf("inbox-users: %w", err))
	case c.Auth == AuthBroker && len(users) == 0:
		errs = append(errs, errors.New("inbox-users: name at least one USER=TENANT, as inbox-auth is broker"))
	case c.Auth != AuthBroker && len(users) > 0:
		errs = append(errs, errors.New("inbox-users: is only for inbox-auth broker"))
	}
	switch c.Auth {
	case "", AuthToken, AuthBroker, AuthAnonymous:
	default:
		errs = append(errs, fmt.Errorf("inbox-auth: %q is not token, broker or anonymous", c.Auth))
	}
	if c.MaxAge < 0 || c.MaxAhead < 0 {
		errs = append(errs, errors.New("inbox-max-age, inbox-max-ahead: must not be negative"))
	}
	return errors.Join(errs...)
}

// anonymous is the role of messages without credentials; empty when none are
// taken.
func (c InboxConfig) anonymous() policy.Role {
	if c.Auth == AuthAnonymous {
		return policy.Ingest
	}
	return ""
}

// caller is who is believed to have sent a message.
func (c InboxConfig) caller(deps Deps) (admit.Caller, error) {
	if c.Auth != AuthBroker {
		return admit.ByCredentials(deps.Identify), nil
	}
	if caps := deps.Broker.Capabilities(); !caps.VerifiedUser {
		return nil, fault.Invalid.New("%s.inbox-auth: broker does not work with %s, which does not tell who published a message; RabbitMQ does. Use token", name, system(caps))
	}
	users, err := admit.ParseUsers(c.Users)
	return admit.ByBroker(users), err
}

func system(caps broker.Capabilities) string {
	if caps.System == "" {
		return "this broker"
	}
	return caps.System
}
