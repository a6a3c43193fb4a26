package main

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/crypto/bcrypt"

	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/settings"
	"github.com/driftmesh/driftmesh/internal/telemetry"
)

type natsSettings struct {
	Listen           string          `help:"Address of the embedded broker; port 0 takes any." default:"127.0.0.1:0" placeholder:"HOST:PORT"`
	ProducerPassword settings.Secret `help:"Password of the embedded broker's user producer, who may publish to the topic inbox and do nothing else; empty for no such user." placeholder:"SECRET"`
	Sync             bool            `help:"Write every message through to the disk before it is acknowledged. Without it an acknowledged message survives the end of the process but not of the machine." default:"false"`
}

// meshUser is the services' user of the embedded broker.
const meshUser = "driftmesh"

// maxPayload is the largest message of the embedded broker: what NATS advises
// as the most.
const maxPayload = 8 << 20

// streamsAtMost bounds what all topics may reserve together; each is bounded by
// broker.max-bytes, and services that provision at the same time reserve twice
// for a moment.
const streamsAtMost = 64

// startBroker starts the embedded broker, unless the settings name another,
// and points the settings at it.
func (u *upCmd) startBroker(log *slog.Logger) (stop func(), err error) {
	if u.Broker.URL.Reveal() != embeddedURL {
		return func() {}, nil
	}
	host, portText, err := net.SplitHostPort(u.NATS.Listen)
	if err != nil {
		return nil, fmt.Errorf("nats.listen: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("nats.listen: port %q: %w", portText, err)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	password, err := brokerPassword(u.Mesh.Secret.First())
	if err != nil {
		return nil, err
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost) // of a random key: no work needed
	if err != nil {
		return nil, fmt.Errorf("start embedded broker: %w", err)
	}
	opts := &server.Options{
		ServerName: "driftmesh", Host: host, Port: port, Username: meshUser, Password: string(hash),
		JetStream: true, StoreDir: filepath.Join(u.DataDir, "nats"), SyncAlways: u.NATS.Sync,
		MaxPayload: maxPayload, MaxPending: 64 << 20, NoSigs: true, DontListen: false,
		JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: streamsAtMost * int64(u.Broker.MaxBytes),
	}
	producers, err := newProducers(opts, u.NATS.ProducerPassword)
	if err != nil {
		return nil, err
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("start embedded broker: %w", err)
	}
	srv.SetLogger(brokerLog{log.With(slog.String(telemetry.KeyService, "nats"))}, false, false)
	srv.Start()
	if !srv.ReadyForConnections(15 * time.Second) {
		srv.Shutdown()
		return nil, fmt.Errorf("start embedded broker: it did not become ready on %s (setting nats.listen)", u.NATS.Listen)
	}
	if err := producers.admit(srv); err != nil {
		srv.Shutdown()
		return nil, err
	}
	address := url.URL{Scheme: "nats", User: url.UserPassword(meshUser, password), Host: srv.Addr().String()}
	u.Broker.URL = settings.Secret(address.String())
	u.NATS.Listen = srv.Addr().String()
	return func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	}, nil
}

// brokerPassword keeps other programs on this machine from publishing in
// somebody's name.
func brokerPassword(secret settings.Secret) (string, error) {
	key, err := identity.DeriveKey([]byte(secret.Reveal()), "embedded broker v1")
	if err != nil {
		return "", fmt.Errorf("setting mesh.secret: %w", err)
	}
	return hex.EncodeToString(key), nil
}

// brokerLog passes on what the embedded broker has to say, at our levels.
type brokerLog struct{ log *slog.Logger }

func (l brokerLog) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l brokerLog) Warnf(format string, v ...any)   { l.log.Warn(fmt.Sprintf(format, v...)) }
func (l brokerLog) Fatalf(format string, v ...any)  { l.log.Error(fmt.Sprintf(format, v...)) }
func (l brokerLog) Errorf(format string, v ...any)  { l.log.Error(fmt.Sprintf(format, v...)) }
func (l brokerLog) Debugf(format string, v ...any)  { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l brokerLog) Tracef(format string, v ...any)  { l.log.Debug(fmt.Sprintf(format, v...)) }
