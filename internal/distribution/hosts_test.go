package distribution

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-containers/berth/internal/distribution/registries"
	"github.com/berth-containers/berth/internal/distribution/registrytest"
	"github.com/distribution/reference"
)

// A mirror is asked first, without credentials; what it lacks, or if it is
// gone, comes from the registry itself. Pushes never go to it.
func TestMirror(t *testing.T) {
	ctx := context.Background()
	blob, other := []byte("both"), []byte("only the registry's")
	own := registrytest.New(t, registrytest.Basic)
	own.AddBlob(blob)
	own.AddBlob(other)
	mirror := registrytest.New(t, registrytest.OK)
	mirror.AddBlob(blob)
	creds := Credentials{Username: registrytest.Username, Password: registrytest.Password}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	table := registries.Table{Hosts: map[string]registries.Entry{own.Host(): {Mirrors: []string{gone.URL, "http://" + mirror.Host()}}}}
	repo := repository(t, Options{Registries: table}, own.Host()+"/app", creds)
	for _, b := range [][]byte{blob, other} {
		if got, err := repo.FetchAll(ctx, layerOf(b), 100); err != nil || string(got) != string(b) {
			t.Errorf("%q, %v", got, err)
		}
	}
	if n := own.Served("GET", layerOf(blob).Digest.String()); n != 0 {
		t.Errorf("the registry was asked %d times for what the mirror has", n)
	}
	if _, err := repo.PushBlob(ctx, layerOf([]byte("new")), nil, from([]byte("new"))); err != nil {
		t.Fatal(err)
	}
	if _, ok := own.Blobs[layerOf([]byte("new")).Digest]; !ok {
		t.Error("the push did not reach the registry")
	}
}

// The default registry is docker.io for this engine.
func TestDefault(t *testing.T) {
	r := registrytest.New(t, registrytest.Basic)
	blob := []byte("blob")
	r.AddBlob(blob)
	creds := Credentials{Username: registrytest.Username, Password: registrytest.Password}
	repo := repository(t, Options{Registries: registries.Table{Default: r.Host()}}, "busybox", creds)
	if got, err := repo.FetchAll(context.Background(), layerOf(blob), 100); err != nil || string(got) != "blob" {
		t.Errorf("%q, %v", got, err)
	}
	if r.Served("GET", "/library/busybox/") == 0 {
		t.Error("nothing was asked for library/busybox")
	}
}

// A registry that wants the client's certificate, as the files of certs.d say in
// Docker's form and as hosts.toml.
func TestCertificates(t *testing.T) {
	blob := []byte("blob")
	registry := registrytest.New(t, registrytest.OK)
	registry.AddBlob(blob)
	certificate, key, parsed := clientCertificate(t)
	server := httptest.NewUnstartedServer(registry)
	server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool()}
	server.TLS.ClientCAs.AddCert(parsed)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	host := server.Listener.Addr().String()
	toml := fmt.Sprintf("server = %q\n[host.%q]\ncapabilities = [\"pull\", \"resolve\"]\nskip_verify = true\nclient = [[\"client.cert\", \"client.key\"]]\n", server.URL, server.URL)
	for name, tc := range map[string]struct {
		files map[string]string
		fails string
	}{
		"Docker's form": {files: map[string]string{"client.cert": certificate, "client.key": key}},
		"hosts.toml":    {files: map[string]string{"hosts.toml": toml, "client.cert": certificate, "client.key": key}},
		"no client":     {fails: "tls"},
		"broken CA":     {files: map[string]string{"ca.crt": "x"}, fails: "ca.crt"},
		"no key":        {files: map[string]string{"client.cert": certificate}, fails: "X509 key pair"},
		"broken toml":   {files: map[string]string{"hosts.toml": "server = ["}, fails: "hosts.toml"},
	} {
		t.Run(name, func(t *testing.T) {
			certs := t.TempDir()
			if err := os.Mkdir(filepath.Join(certs, host), 0o755); err != nil {
				t.Fatal(err)
			}
			for file, text := range tc.files {
				if err := os.WriteFile(filepath.Join(certs, host, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := fetch(Options{Registries: registries.Table{Certs: certs}}, host, blob)
			if tc.fails == "" && err != nil || tc.fails != "" && (err == nil || !strings.Contains(err.Error(), tc.fails)) {
				t.Errorf("%v, want %q", err, tc.fails)
			}
		})
	}
}

func fetch(o Options, host string, blob []byte) error {
	named, err := reference.ParseDockerRef(host + "/app")
	if err != nil {
		return err
	}
	c := New(o)
	defer c.Close()
	repo, err := c.Repository(context.Background(), named, Credentials{})
	if err != nil {
		return err
	}
	_, err = repo.FetchAll(context.Background(), layerOf(blob), 100)
	return err
}

// clientCertificate is one that signed itself, with its key, in PEM.
func clientCertificate(t *testing.T) (certificate, key string, parsed *x509.Certificate) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	if parsed, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})), parsed
}
