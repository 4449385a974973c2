package command

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/containerd/errdefs"
)

// transport is TLS whose certificate is read again when its file changes, as
// renewals do it.
type transport struct {
	cert, key string
	log       *slog.Logger
	config    *tls.Config

	mu     sync.Mutex
	now    *tls.Certificate
	loaded time.Time // modification time of the files in use
}

// tls gives nil without a certificate.
func (o *options) tls(log *slog.Logger) (*transport, error) {
	switch {
	case o.cert == "" && o.key == "" && o.clientCA == "":
		return nil, nil
	case o.cert == "" || o.key == "":
		return nil, errdefs.ErrInvalidArgument.WithMessage("TLS needs both --tls-cert and --tls-key")
	}
	t := &transport{cert: o.cert, key: o.key, log: log}
	if err := t.load(); err != nil {
		return nil, err
	}
	t.config = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: t.certificate, NextProtos: []string{"http/1.1"}}
	if o.clientCA != "" {
		pool, err := readAuthorities(o.clientCA)
		if err != nil {
			return nil, err
		}
		// Who has none can still come with a password; the rights file decides.
		t.config.ClientCAs, t.config.ClientAuth = pool, tls.VerifyClientCertIfGiven
	}
	return t, nil
}

func readAuthorities(path string) (*x509.CertPool, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the clients' authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("--tls-client-ca %s holds no certificate in PEM", path))
	}
	return pool, nil
}

func (t *transport) listen(l net.Listener) net.Listener { return tls.NewListener(l, t.config) }

func (t *transport) load() error {
	modified := newest(t.cert, t.key)
	c, err := tls.LoadX509KeyPair(t.cert, t.key)
	if err != nil {
		return fmt.Errorf("read the certificate %s and its key %s: %w", t.cert, t.key, err)
	}
	t.now, t.loaded = &c, modified
	return nil
}

func (t *transport) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if modified := newest(t.cert, t.key); modified != t.loaded {
		if err := t.load(); err != nil {
			t.loaded = modified
			t.log.Error("the new certificate is not taken; the old one stays in use", "error", err)
		}
	}
	return t.now, nil
}

func newest(paths ...string) time.Time {
	var last time.Time
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}
