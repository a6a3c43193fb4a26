package sqltest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	testserver "github.com/driftmesh/driftmesh/test/server"
)

// Secure is a PostgreSQL that is reached over TLS alone, by clients that show a
// certificate of the authority and know a password.
type Secure struct {
	// CA, Cert and Key are PEM files: of the authority, and of the server.
	CA, Cert, Key string
	// Users are the passwords of those who may make schemas in the database
	// driftmesh, and see nothing of one another's.
	Users map[string]string
}

// hba lets in who comes over TLS with a certificate and a password, and nobody
// else.
const hba = "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n"

// StartSecure starts a server until the test ends and gives its host and port.
// It skips the test when there is no PostgreSQL, or fails it when one is required.
func StartSecure(t testserver.T, opts Secure) (address string) {
	t.Helper()
	initdb, err := binary("initdb")
	if err != nil {
		testserver.Missing(t, "postgres", err.Error())
	}
	dir, err := os.MkdirTemp("", "driftmesh-postgres-")
	if err != nil {
		t.Fatalf("make directory: %v", err)
	}
	s := &server{dir: dir}
	t.Cleanup(s.stop)
	if address, err = s.secure(initdb, opts); err != nil {
		t.Fatalf("%v\n%s", err, s.output.Bytes())
	}
	return address
}

func (s *server) secure(initdb string, opts Secure) (address string, err error) {
	as, err := s.account()
	if err != nil {
		return "", err
	}
	password := rand.Text()
	files := map[string][]byte{"password": []byte(password + "\n")}
	for name, from := range map[string]string{"ca.pem": opts.CA, "server.pem": opts.Cert, "server.key": opts.Key} {
		if files[name], err = os.ReadFile(from); err != nil {
			return "", fmt.Errorf("certificates: %w", err)
		}
	}
	for name, raw := range files {
		if err := s.give(as, name, raw); err != nil {
			return "", err
		}
	}
	data := filepath.Join(s.dir, "data")
	if err := s.init(as, initdb, data, "--auth=scram-sha-256", "--pwfile="+filepath.Join(s.dir, "password")); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte(hba), 0o600); err != nil {
		return "", fmt.Errorf("write pg_hba.conf: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	address = net.JoinHostPort("127.0.0.1", port)
	query := url.Values{"sslmode": {"verify-full"}, "sslrootcert": {opts.CA}, "sslcert": {opts.Cert}, "sslkey": {opts.Key}}
	s.url = (&url.URL{Scheme: "postgres", User: url.UserPassword("driftmesh", password), Host: address, Path: "/postgres", RawQuery: query.Encode()}).String()
	err = s.run(as, initdb, data, port, "ssl=on", "ssl_ca_file="+filepath.Join(s.dir, "ca.pem"),
		"ssl_cert_file="+filepath.Join(s.dir, "server.pem"), "ssl_key_file="+filepath.Join(s.dir, "server.key"))
	if err != nil {
		return "", err
	}
	return address, s.users(opts.Users)
}

// give writes a file that only the account of the server can read.
func (s *server) give(as *syscall.SysProcAttr, name string, raw []byte) error {
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if as.Credential == nil {
		return nil
	}
	if err := os.Chown(path, int(as.Credential.Uid), int(as.Credential.Gid)); err != nil {
		return fmt.Errorf("give %s to the server: %w", name, err)
	}
	return nil
}

// users makes the database and those who may use it.
func (s *server) users(passwords map[string]string) error {
	db, err := sql.Open("pgx", s.url)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	statements := []string{"CREATE DATABASE driftmesh", "REVOKE ALL ON DATABASE driftmesh FROM PUBLIC"}
	for name, password := range passwords {
		user := pgx.Identifier{name}.Sanitize()
		statements = append(statements, "CREATE ROLE "+user+" LOGIN PASSWORD '"+password+"'",
			"GRANT CONNECT, CREATE ON DATABASE driftmesh TO "+user)
	}
	for _, statement := range statements {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("make users: %w", err)
		}
	}
	return nil
}
