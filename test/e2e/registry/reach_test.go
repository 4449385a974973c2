package registry

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-containers/berth/test/harness"
)

// engineWith starts an engine with a table of registries.
func engineWith(t *testing.T, table string) *harness.Engine {
	t.Helper()
	file := filepath.Join(t.TempDir(), "daemon.json")
	if err := os.WriteFile(file, fmt.Appendf(nil, `{"registries": %s}`, table), 0o600); err != nil {
		t.Fatal(err)
	}
	return harness.New(t, "--config-file", file)
}

// A pull-through cache as a mirror: it is asked first and without credentials,
// it goes on when the registry is gone, and the registry when the cache is.
func TestCacheAsMirror(t *testing.T) {
	upstream := newRegistry(t, t.TempDir())
	upstream.ok("alice-secret", "user", "add", "alice", "team/**", "--password-stdin")
	upstream.ok("cache-secret", "user", "add", "cache", "team/**", "--allow", "pull", "--password-stdin")
	cache := newRegistry(t, t.TempDir(), "--cache-of", "http://"+upstream.host, "--cache-username", "cache", "--cache-password", "cache-secret")
	e := engineWith(t, fmt.Sprintf(`{"hosts": {%q: {"mirrors": ["http://%s"]}}}`, upstream.host, cache.host))
	upstream.start()
	image := "oci-archive:" + archive(t)
	for _, tag := range []string{"1", "2"} {
		if out, err := skopeo(t, "copy", "--dest-tls-verify=false", "--dest-creds", "alice:alice-secret", image, "docker://"+upstream.host+"/team/app:"+tag); err != nil {
			t.Fatalf("push: %v\n%s", err, out)
		}
	}
	cache.start()
	app := upstream.host + "/team/app"
	e.OK("pull", app+":1") // nobody is logged in: only the cache may
	e.OK("rmi", app+":1")
	upstream.kill()
	e.OK("pull", app+":1")
	e.OK("rmi", app+":1")
	if got := e.Berth("pull", app+":none"); got.Code == 0 || !strings.Contains(got.Err, "before that, mirror "+cache.host) && !strings.Contains(got.Err, "connection refused") {
		t.Errorf("what nobody has: %d %s", got.Code, got.Err)
	}
	upstream.start()
	cache.kill()
	if got := e.Berth("pull", app+":2"); got.Code == 0 || !strings.Contains(got.Err, "pull access denied") || !strings.Contains(got.Err, "mirror "+cache.host) {
		t.Errorf("without the cache and a login: %d %s", got.Code, got.Err)
	}
	e.DockerOK("login", "-u", "alice", "-p", "alice-secret", upstream.host)
	e.OK("pull", app+":2")
	e.OK("tag", app+":2", app+":3")
	e.OK("push", app+":3") // never to a mirror
	e.OK("rmi", app+":2", app+":3")
}

// A registry that knows its users by their certificates.
func TestClientCertificates(t *testing.T) {
	certificate, key := harness.Certificate(t, "127.0.0.1")
	ca, clients := authority(t, "writer", "reader", "stranger")
	r := newRegistry(t, t.TempDir(), "--tls-cert", certificate, "--tls-key", key, "--tls-client-ca", ca)
	rights := "cert writer\ncert reader\nallow writer all team/**\nallow reader pull team/**\n"
	if err := os.WriteFile(filepath.Join(r.dir, "rights"), []byte(rights), 0o600); err != nil {
		t.Fatal(err)
	}
	certs := t.TempDir()
	e := engineWith(t, fmt.Sprintf(`{"certs": %q}`, certs))
	e.Busybox()
	r.startTLS()
	host := filepath.Join(certs, r.host)
	if err := os.Mkdir(host, 0o755); err != nil {
		t.Fatal(err)
	}
	become := func(name string) {
		t.Helper()
		for to, from := range map[string]string{"ca.crt": certificate, "client.cert": clients[name] + ".cert", "client.key": clients[name] + ".key"} {
			b, err := os.ReadFile(from)
			if err == nil {
				err = os.WriteFile(filepath.Join(host, to), b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	app := r.host + "/team/app:1"
	e.OK("tag", "busybox", app)
	// The files are looked at each time, so one engine is one after the other.
	for _, row := range []struct {
		who, verb string
		works     bool
	}{
		{"writer", "push", true}, {"reader", "push", true}, // all of it is there
		{"writer", "pull", true}, {"reader", "pull", true}, {"stranger", "pull", false}, {"stranger", "push", false},
	} {
		become(row.who)
		for client, run := range map[string]func(...string) harness.Result{"docker": e.Docker, "berth": e.Berth} {
			if got := run(row.verb, app); (got.Code == 0) != row.works {
				t.Errorf("%s %s by %s: exit %d %s", client, row.verb, row.who, got.Code, got.Err)
			}
		}
	}
	become("reader")
	e.OK("tag", "busybox", r.host+"/team/app:2")
	if got := e.Berth("push", r.host+"/team/app:2"); got.Code == 0 || !strings.Contains(got.Err, "denied") {
		t.Errorf("a reader pushed: %d %s", got.Code, got.Err)
	}
	e.OK("rmi", app, r.host+"/team/app:2")
}

// startTLS is start for a registry that speaks TLS.
func (r *registry) startTLS() {
	r.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // it only asks if somebody is there
	r.launch()
	harness.Eventually(r.t, "the registry", func() bool {
		resp, err := client.Get("https://" + r.host + "/healthz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// authority makes one that signs certificates for names, in files of these
// names with .cert and .key.
func authority(t *testing.T, names ...string) (ca string, clients map[string]string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	about := func(name string, serial int64) *x509.Certificate {
		return &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	}
	private := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	sign := func(of, by *x509.Certificate, public *ecdsa.PublicKey, key *ecdsa.PrivateKey) []byte {
		der, err := x509.CreateCertificate(rand.Reader, of, by, public, key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	root, rootKey := about("authority", 1), private()
	root.IsCA, root.BasicConstraintsValid, root.KeyUsage = true, true, x509.KeyUsageCertSign
	ca = write("ca.pem", "CERTIFICATE", sign(root, root, &rootKey.PublicKey, rootKey))
	clients = map[string]string{}
	for i, name := range names {
		one, key := about(name, int64(i)+2), private()
		one.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		encoded, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		write(name+".cert", "CERTIFICATE", sign(one, root, &key.PublicKey, rootKey))
		write(name+".key", "PRIVATE KEY", encoded)
		clients[name] = filepath.Join(dir, name)
	}
	return ca, clients
}
