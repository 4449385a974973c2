// Package discover finds the engine that a command speaks to, and starts one
// if it may.
//
// The first of these that is given names it: --host, BERTH_HOST, DOCKER_HOST.
// Otherwise it is the one at the default socket; if nobody listens there and
// the user is root, berthd is started, detached, and waited for within a bound.
// Of several commands that find none, one starts it and the others wait. A
// crash while starting leaves a lock file that holds nobody up.
package discover

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// DefaultSocket is where an engine listens unless it is told otherwise.
const DefaultSocket = "/run/berth/berth.sock"

// Options are the global flags.
type Options struct {
	Host      string
	TLS       bool // without verification
	TLSVerify bool
	CACert    string
	Cert      string
	Key       string
}

// Endpoint is where an engine is.
type Endpoint struct {
	URL   string
	named bool // by the user
	unix  string
	tcp   string
	tls   *tls.Config
}

// Find reads options and environment.
func Find(o Options, getenv func(string) string) (*Endpoint, error) {
	e := &Endpoint{URL: "unix://" + DefaultSocket}
	for _, host := range []string{o.Host, getenv("BERTH_HOST"), getenv("DOCKER_HOST")} {
		if host != "" {
			e.URL, e.named = host, true
			break
		}
	}
	if err := e.parse(); err != nil {
		return nil, err
	}
	if e.tcp != "" {
		if err := e.secure(o, getenv); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func (e *Endpoint) parse() error {
	scheme, rest, ok := strings.Cut(e.URL, "://")
	if !ok && strings.HasPrefix(e.URL, "/") {
		scheme, rest, e.URL = "unix", e.URL, "unix://"+e.URL
	} else if !ok {
		scheme, rest, e.URL = "tcp", e.URL, "tcp://"+e.URL
	}
	switch {
	case scheme == "unix" && rest == "":
		e.unix = DefaultSocket
	case scheme == "unix":
		e.unix = rest
	case scheme == "tcp" || scheme == "http" || scheme == "https":
		u, err := url.Parse(e.URL)
		if err != nil || u.Hostname() == "" {
			return fmt.Errorf("invalid host %q: write tcp://HOST:PORT", e.URL)
		}
		port := u.Port()
		if port == "" {
			port = "2376"
		}
		e.tcp = net.JoinHostPort(u.Hostname(), port)
	default:
		return fmt.Errorf("invalid host %q: write unix://PATH or tcp://HOST:PORT", e.URL)
	}
	return nil
}

func (e *Endpoint) secure(o Options, getenv func(string) string) error {
	verify := o.TLSVerify || getenv("DOCKER_TLS_VERIFY") != ""
	if !verify && !o.TLS {
		return nil
	}
	dir := getenv("DOCKER_CERT_PATH")
	if dir == "" {
		dir = ConfigDir(getenv)
	}
	given := o.CACert != "" || o.Cert != "" || o.Key != ""
	file := func(named, name string) string {
		if named != "" {
			return named
		}
		return filepath.Join(dir, name)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: !verify}
	if verify {
		ca := file(o.CACert, "ca.pem")
		pem, err := os.ReadFile(ca)
		if err != nil {
			return fmt.Errorf("read the certificate of the authority (--tlscacert): %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s holds no certificate (--tlscacert)", ca)
		}
	}
	pair, err := tls.LoadX509KeyPair(file(o.Cert, "cert.pem"), file(o.Key, "key.pem"))
	switch {
	case err == nil:
		config.Certificates = []tls.Certificate{pair}
	case given || !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("read the client certificate (--tlscert, --tlskey): %w", err)
	}
	config.ServerName, _, err = net.SplitHostPort(e.tcp)
	e.tls = config
	return err
}

// ConfigDir is the folder of the client's settings and certificates.
func ConfigDir(getenv func(string) string) string {
	if dir := getenv("DOCKER_CONFIG"); dir != "" {
		return dir
	}
	return filepath.Join(getenv("HOME"), ".docker")
}

// Host is what the Host header says.
func (e *Endpoint) Host() string {
	if e.tcp != "" {
		return e.tcp
	}
	return "berth"
}

// Dial connects, and starts the engine if it may.
func (e *Endpoint) Dial(ctx context.Context) (net.Conn, error) {
	conn, err := e.connect(ctx)
	if err == nil || !nobodyListens(err) || e.named || e.unix == "" || os.Geteuid() != 0 {
		return conn, e.explain(err)
	}
	return e.start(ctx)
}

func (e *Endpoint) connect(ctx context.Context) (net.Conn, error) {
	if e.unix != "" {
		return (&net.Dialer{}).DialContext(ctx, "unix", e.unix)
	}
	if e.tls != nil {
		return (&tls.Dialer{Config: e.tls}).DialContext(ctx, "tcp", e.tcp)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", e.tcp)
}

func nobodyListens(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED)
}

func (e *Endpoint) explain(err error) error {
	switch {
	case err == nil || errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, syscall.EACCES):
		return &Error{fmt.Sprintf("permission denied at %s: become root or a member of the socket's group", e.URL), err}
	case nobodyListens(err):
		return &Error{fmt.Sprintf("cannot connect to Berth at %s; is berthd running?", e.URL), err}
	}
	return &Error{fmt.Sprintf("cannot connect to Berth at %s: %v", e.URL, err), err}
}

// Error is a connection that could not be made.
type Error struct {
	message string
	cause   error
}

func (e *Error) Error() string { return e.message }

func (e *Error) Unwrap() error { return e.cause }
