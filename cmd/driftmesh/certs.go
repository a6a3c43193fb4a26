package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/driftmesh/driftmesh/internal/pki"
	"github.com/driftmesh/driftmesh/internal/process"
)

type certsCmd struct {
	Make  certsMakeCmd  `cmd:"" help:"Make an authority, and a certificate for each service; what is there stays."`
	Renew certsRenewCmd `cmd:"" help:"Issue anew what expires soon. Running processes take it up."`
	Watch certsWatchCmd `cmd:"" help:"Renew now and then, until stopped."`
	Show  certsShowCmd  `cmd:"" help:"Show names, issuers and dates of the certificates."`
}

// certsDir is the directory of the certificates.
type certsDir struct {
	Dir string `help:"Directory of the certificates." default:"certs" env:"DRIFTMESH_CERTS_DIR" placeholder:"DIR"`
}

func (d certsDir) open() *pki.Dir { return pki.NewDir(d.Dir, time.Now) }

type certsMakeCmd struct {
	certsDir
	Services  []string      `arg:"" optional:"" help:"Whom to make certificates for; the five services when nobody is named. A broker or a store may have one too."`
	Domain    string        `help:"Trust domain: a service is spiffe://DOMAIN/SERVICE." default:"driftmesh"`
	DNS       []string      `name:"dns" help:"Hosts that the certificates are for, besides the service's own name." default:"localhost" placeholder:"HOST"`
	IP        []net.IP      `name:"ip" help:"Addresses that the certificates are for." default:"127.0.0.1,::1" placeholder:"ADDRESS"`
	Life      time.Duration `help:"How long a certificate is good." default:"2160h"`
	CALife    time.Duration `name:"ca-life" help:"How long the authority is good." default:"87600h"`
	ReplaceCA bool          `name:"replace-ca" help:"Make a new authority, and all certificates anew. The old authority stays in ca.pem, so that what it issued is believed until everybody has the new."`
	Spread    time.Duration `help:"With --replace-ca: how long everybody may take to read ca.pem anew, before the first certificate of the new authority is used." default:"10s"`
	OnlyCA    bool          `name:"only-ca" help:"With --replace-ca: stop there, where ca.pem has to be copied elsewhere first; certs renew then issues the certificates."`
}

// errOnlyCA ends the making of certificates where it was asked to end.
var errOnlyCA = errors.New("only the authority was to be made")

// Run makes what is missing.
func (c certsMakeCmd) Run(ctx context.Context, con console) error {
	if c.OnlyCA && !c.ReplaceCA {
		return errors.New("--only-ca: goes with --replace-ca")
	}
	services := c.Services
	if len(services) == 0 {
		services = process.Sections
	}
	made, err := c.open().Make(pki.Plan{
		Domain: c.Domain, Services: services, DNS: c.DNS, IPs: c.IP, Life: c.Life, CALife: c.CALife, ReplaceCA: c.ReplaceCA, Spread: func() error { return c.spread(ctx) },
	})
	tell(con.out, made, "made", "was there")
	if errors.Is(err, errOnlyCA) {
		fmt.Fprintln(con.out, "when everybody has ca.pem: driftmesh certs renew --dir", c.Dir)
		return nil
	}
	return err
}

// spread lets everybody read who is to be believed before somebody shows a
// certificate of the new authority.
func (c certsMakeCmd) spread(ctx context.Context) error {
	if c.OnlyCA {
		return errOnlyCA
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("stopped while the new authority spread: go on with certs renew: %w", ctx.Err())
	case <-time.After(c.Spread):
		return nil
	}
}

type certsRenewCmd struct {
	certsDir
	Before time.Duration `help:"Renew what expires within this time; 0 is a third of its life." default:"0s"`
}

// Run renews what expires soon.
func (c certsRenewCmd) Run(con console) error {
	found, err := c.open().Renew(c.Before)
	tell(con.out, found, "renewed", "good")
	return err
}

type certsWatchCmd struct {
	certsRenewCmd
	Every time.Duration `help:"How often to look." default:"1h"`
}

// Run renews until ctx ends. What fails is said, and tried again the next time.
func (c certsWatchCmd) Run(ctx context.Context, con console) error {
	if c.Every <= 0 {
		return fmt.Errorf("--every: must be more than 0, not %s", c.Every)
	}
	tick := time.NewTicker(c.Every)
	defer tick.Stop()
	for {
		found, err := c.open().Renew(c.Before)
		for _, m := range found {
			if m.Fresh {
				fmt.Fprintf(con.out, "renewed %s, good until %s\n", m.File, day(m.Cert.NotAfter))
			}
		}
		if err != nil {
			fmt.Fprintf(con.err, "driftmesh: %v\n", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

type certsShowCmd struct{ certsDir }

// Run shows the certificates of the directory.
func (c certsShowCmd) Run(con console) error {
	found, err := c.open().List()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(con.out, 0, 4, 2, ' ', 0)
	row(w, "FILE", "NAMES", "ISSUER", "EXPIRES", "")
	for _, m := range found {
		left := time.Until(m.Cert.NotAfter)
		state := fmt.Sprintf("in %d days", int(left.Hours()/24))
		if left <= 0 {
			state = "expired"
		}
		row(w, m.File, namesIn(m), m.Cert.Issuer.CommonName, day(m.Cert.NotAfter), state)
	}
	return w.Flush()
}

func tell(to io.Writer, list []pki.Made, fresh, kept string) {
	for _, m := range list {
		what := kept
		if m.Fresh {
			what = fresh
		}
		fmt.Fprintf(to, "%s %s, good until %s\n", m.File, what, day(m.Cert.NotAfter))
	}
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// namesIn are all the names of a certificate.
func namesIn(m pki.Made) string {
	if m.Cert.IsCA {
		return m.Cert.Subject.CommonName
	}
	var names []string
	for _, u := range m.Cert.URIs {
		names = append(names, u.String())
	}
	names = append(names, m.Cert.DNSNames...)
	for _, ip := range m.Cert.IPAddresses {
		names = append(names, ip.String())
	}
	return strings.Join(names, " ")
}
