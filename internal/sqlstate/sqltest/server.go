package sqltest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const startTimeout = 2 * time.Minute

// server is a PostgreSQL of our own on loopback.
type server struct {
	url    string
	dir    string
	cmd    *exec.Cmd
	output bytes.Buffer
}

// start makes a data directory and starts a server in it.
func start() (*server, error) {
	initdb, err := binary("initdb")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "driftmesh-postgres-")
	if err != nil {
		return nil, fmt.Errorf("make directory: %w", err)
	}
	s := &server{dir: dir}
	if err := s.start(initdb); err != nil {
		s.stop()
		return nil, fmt.Errorf("%w\n%s", err, s.output.Bytes())
	}
	return s, nil
}

func (s *server) start(initdb string) error {
	as, err := s.account()
	if err != nil {
		return err
	}
	data := filepath.Join(s.dir, "data")
	if err := s.init(as, initdb, data, "--auth=trust"); err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	s.url = "postgres://driftmesh@127.0.0.1:" + port + "/postgres?sslmode=disable"
	return s.run(as, initdb, data, port)
}

// init makes a data directory whose superuser is driftmesh.
func (s *server) init(as *syscall.SysProcAttr, initdb, data string, auth ...string) error {
	args := append([]string{"-D", data, "-U", "driftmesh", "--no-locale", "--encoding=UTF8", "--no-sync"}, auth...)
	if err := s.command(as, initdb, args...).Run(); err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	return nil
}

// run starts the server beside its initdb and waits until it answers at s.url.
func (s *server) run(as *syscall.SysProcAttr, initdb, data, port string, settings ...string) error {
	args := []string{"-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"}
	for _, one := range settings {
		args = append(args, "-c", one)
	}
	s.cmd = s.command(as, filepath.Join(filepath.Dir(initdb), "postgres"), args...)
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		return fmt.Errorf("start postgres: %w", err)
	}
	return s.await()
}

// account is who runs the server: PostgreSQL refuses to run as root.
func (s *server) account() (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Getuid() != 0 {
		return attr, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err := errors.Join(err1, err2, os.Chown(s.dir, uid, gid)); err != nil {
			return nil, fmt.Errorf("give the directory to %s: %w", name, err)
		}
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)} //nolint:gosec // ids of this machine
		return attr, nil
	}
	return nil, errors.New("running as root, and there is no other account to run postgres")
}

func (s *server) command(as *syscall.SysProcAttr, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...) //nolint:gosec // found by us
	cmd.SysProcAttr, cmd.Dir = as, s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.Stdout, cmd.Stderr = &s.output, &s.output
	return cmd
}

// await waits until the server answers.
func (s *server) await() error {
	db, err := sql.Open("pgx", s.url)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		if err = db.PingContext(ctx); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("postgres does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *server) stop() {
	if s.cmd != nil {
		// SIGINT: a fast shutdown, which leaves no shared memory behind.
		_ = s.cmd.Process.Signal(syscall.SIGINT)
		_ = s.cmd.Wait()
	}
	_ = os.RemoveAll(s.dir)
}

// binary finds a program of PostgreSQL: Debian keeps them off the path, one
// directory per version.
func binary(name string) (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) > 0 {
		return found[len(found)-1], nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", errors.New("its programs are not installed (Debian: apt-get install postgresql)")
	}
	return filepath.EvalSymlinks(path)
}

func freePort() (string, error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a port: %w", err)
	}
	defer lis.Close()
	_, port, err := net.SplitHostPort(lis.Addr().String())
	return port, err
}
