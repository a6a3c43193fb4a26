package kafka

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// secure adds TLS, SASL and ACLs to the properties.
func (s *Server) secure(p map[string]string) {
	if m := s.opts.Mechanism; m != "" {
		p["sasl.enabled.mechanisms"] = m
		p["sasl.mechanism.inter.broker.protocol"] = m
		p["listener.name.client."+strings.ToLower(m)+".sasl.jaas.config"] = s.jaas()
	}
	if s.opts.TLS != nil {
		p["ssl.keystore.type"] = "PEM"
		p["ssl.keystore.location"] = s.keystore()
		p["ssl.truststore.type"] = "PEM"
		p["ssl.truststore.location"] = s.opts.TLS.CertFile
		p["ssl.endpoint.identification.algorithm"] = ""
	}
	if s.opts.ACLs {
		p["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
		p["super.users"] = "User:" + admin + ";User:ANONYMOUS" // the controller's own listener has no users
	}
}

// jaas names the login module and, where it keeps them, the users. The first
// two entries are who the broker itself is.
func (s *Server) jaas() string {
	if strings.HasPrefix(s.opts.Mechanism, "SCRAM") {
		return fmt.Sprintf("org.apache.kafka.common.security.scram.ScramLoginModule required username=%q password=%q;", admin, secret)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "org.apache.kafka.common.security.plain.PlainLoginModule required username=%q password=%q", admin, secret)
	for _, name := range sorted(s.opts.Users) {
		fmt.Fprintf(&b, " user_%s=%q", name, s.opts.Users[name])
	}
	return b.String() + ";"
}

// keystore writes the key and the certificate into one file, as Kafka wants
// them.
func (s *Server) keystore() string {
	path := filepath.Join(s.dir, "keystore.pem")
	key, err := os.ReadFile(s.opts.TLS.KeyFile)
	if err != nil {
		s.t.Fatalf("read the key: %v", err)
	}
	cert, err := os.ReadFile(s.opts.TLS.CertFile)
	if err != nil {
		s.t.Fatalf("read the certificate: %v", err)
	}
	if err := os.WriteFile(path, append(key, cert...), 0o600); err != nil {
		s.t.Fatalf("write the key store: %v", err)
	}
	return path
}

// kafkaID makes a random id of a cluster.
func kafkaID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	id[0] &= 0x7f           // must not begin with a dash
	return base64.RawURLEncoding.EncodeToString(id[:])
}
