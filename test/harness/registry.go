package harness

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// Registry runs Debian's docker-registry, the reference implementation, on the
// lab's loopback and returns its address.
func Registry(t testing.TB) string {
	t.Helper()
	return registry(t, "127.0.0.1", "http", "").Addr
}

// SecureAddress is where SecureRegistry listens: no loopback address, so
// clients want TLS.
const SecureAddress = "192.0.2.1"

// SecureRegistry is Registry with the certificate and key of these files, for
// the user "user" with the password "secret" only.
func SecureRegistry(t testing.TB, certificate, key string) string {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrReplace(lo, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(SecureAddress), Mask: net.CIDRMask(32, 32)}}); err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(users, []byte("user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return registry(t, SecureAddress, "https", fmt.Sprintf(
		"  tls:\n    certificate: %s\n    key: %s\nauth:\n  htpasswd:\n    realm: test\n    path: %s\n", certificate, key, users)).Addr
}

// registry starts one; more goes into its configuration after the http section.
func registry(t testing.TB, ip, scheme, more string) *RegistryProcess {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: %s\n  delete:\n    enabled: true\nlog:\n  level: error\nhttp:\n  addr: %s\n%s", filepath.Join(dir, "data"), addr, more)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r := &RegistryProcess{Addr: addr, t: t, scheme: scheme, config: config}
	t.Cleanup(r.Kill)
	r.Start()
	return r
}

// RegistryProcess is a registry that can be killed and started again with what
// it has.
type RegistryProcess struct {
	Addr string

	t              testing.TB
	scheme, config string
	cmd            *exec.Cmd
}

// KillableRegistry is Registry, as a process.
func KillableRegistry(t testing.TB) *RegistryProcess {
	t.Helper()
	return registry(t, "127.0.0.1", "http", "")
}

// Kill ends it by SIGKILL.
func (r *RegistryProcess) Kill() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}

// Start starts it and returns when it answers.
func (r *RegistryProcess) Start() {
	r.t.Helper()
	r.cmd = exec.Command("docker-registry", "serve", r.config)
	if err := r.cmd.Start(); err != nil {
		r.t.Fatalf("start docker-registry (Debian's package docker-registry): %v", err)
	}
	client := &http.Client{Timeout: Patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // it only asks if somebody is there
	}}
	Eventually(r.t, "the registry", func() bool {
		resp, err := client.Get(r.scheme + "://" + r.Addr + "/v2/")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusUnauthorized
	})
}

// Certificate makes a certificate for an address, which is its own authority.
func Certificate(t testing.TB, ip string) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.ParseIP(ip)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	signed, err := x509.CreateCertificate(rand.Reader, about, about, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "certificate.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: signed}, key: {Type: "PRIVATE KEY", Bytes: encoded}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}
