package discover

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestFind(t *testing.T) {
	for _, tc := range []struct {
		flag  string
		env   func(string) string
		url   string
		where string
		named bool
	}{
		{"", env(), "unix:///run/berth/berth.sock", "/run/berth/berth.sock", false},
		{"", env("DOCKER_HOST", "unix:///d"), "unix:///d", "/d", true},
		{"", env("DOCKER_HOST", "unix:///d", "BERTH_HOST", "unix:///b"), "unix:///b", "/b", true},
		{"unix:///f", env("BERTH_HOST", "unix:///b"), "unix:///f", "/f", true},
		{"/path", env(), "unix:///path", "/path", true},
		{"unix://", env(), "unix://", DefaultSocket, true},
		{"tcp://h:1", env(), "tcp://h:1", "h:1", true},
		{"h:1", env(), "tcp://h:1", "h:1", true},
		{"tcp://[::1]", env(), "tcp://[::1]", "[::1]:2376", true},
	} {
		e, err := Find(Options{Host: tc.flag}, tc.env)
		if err != nil {
			t.Errorf("%s: %v", tc.url, err)
			continue
		}
		if e.URL != tc.url || e.unix+e.tcp != tc.where || e.named != tc.named {
			t.Errorf("%s: %+v", tc.url, e)
		}
	}
	for _, bad := range []string{"ssh://x", "tcp://", "npipe://x"} {
		if _, err := Find(Options{Host: bad}, env()); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestTLSNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	_, err := Find(Options{Host: "tcp://h:1"}, env("DOCKER_TLS_VERIFY", "1", "DOCKER_CERT_PATH", dir))
	if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "ca.pem")) {
		t.Errorf("no ca.pem: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Find(Options{Host: "tcp://h:1", TLSVerify: true}, env("DOCKER_CERT_PATH", dir))
	if err == nil || !strings.Contains(err.Error(), "no certificate") {
		t.Errorf("bad ca.pem: %v", err)
	}
	if e, err := Find(Options{Host: "tcp://h:1", TLS: true}, env("HOME", dir)); err != nil || e.tls == nil || !e.tls.InsecureSkipVerify {
		t.Errorf("--tls: %+v %v", e, err)
	}
}

func TestDial(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	socket := filepath.Join(t.TempDir(), "s")
	e, err := Find(Options{Host: "unix://" + socket}, env())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Dial(ctx); err == nil || err.Error() != "cannot connect to Berth at unix://"+socket+"; is berthd running?" {
		t.Errorf("nobody there: %v", err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := e.Dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// An engine that ends at once is reported with its log; of several commands
// that find none, one starts it.
func TestStart(t *testing.T) {
	dir := t.TempDir()
	count := filepath.Join(dir, "count")
	program := "#!/bin/sh\necho started >> " + count + "\necho why not\nexit 3\n"
	if err := os.WriteFile(filepath.Join(dir, "berthd"), []byte(program), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	e := &Endpoint{URL: "unix://" + dir + "/run/s", unix: dir + "/run/s"}
	_, err := e.start(ctx)
	if err == nil || !strings.Contains(err.Error(), dir+"/run/berthd.log") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("%v", err)
	}
	if log, _ := os.ReadFile(dir + "/run/berthd.log"); string(log) != "why not\n" {
		t.Errorf("log: %q", log)
	}
	t.Setenv("PATH", dir+"/nothing")
	if _, err := e.start(ctx); err == nil || !strings.Contains(err.Error(), "--host") {
		t.Errorf("no berthd: %v", err)
	}
}
