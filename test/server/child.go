package server

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// StartChild starts this program once more, as the server that Child with the
// same env runs, with these options. Options travel as JSON.
func StartChild(t T, name, env string, options any) *Process {
	t.Helper()
	conf, err := json.Marshal(options)
	if err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	cmd := exec.Command(program, "-test.run=^$") //nolint:gosec // ourselves; Process ends it
	cmd.Env = append(os.Environ(), env+"="+string(conf))
	return Start(t, name, cmd)
}

// Child runs a server until it is told to stop, and does not return, when this
// process was started by StartChild with the same env; else it returns at once.
func Child[Options any](env string, run func(Options) (stop func(), err error)) {
	conf := os.Getenv(env)
	if conf == "" {
		return
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	var opts Options
	err := json.Unmarshal([]byte(conf), &opts)
	var stop func()
	if err == nil {
		stop, err = run(opts)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	<-end
	stop()
	os.Exit(0)
}

// LoadCertificate is the configuration of a server that shows the certificate
// in these files.
func LoadCertificate(certFile, keyFile string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}
