package health

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"HTTP 8080":                       "127.0.0.1:8080 http://127.0.0.1:8080",
		"HTTP 8080/healthz?deep=1":        "127.0.0.1:8080 http://127.0.0.1:8080/healthz?deep=1",
		"HTTP :8080/healthz":              "127.0.0.1:8080 http://127.0.0.1:8080/healthz",
		"HTTP /healthz":                   "127.0.0.1:80 http://127.0.0.1/healthz",
		"HTTP localhost:81/":              "127.0.0.1:81 http://localhost:81/",
		"HTTP https://127.0.0.1/":         "127.0.0.1:443 https://127.0.0.1/",
		"HTTP http://[::1]:8080/ 204 401": "[::1]:8080 http://[::1]:8080/",
		"TCP 5432":                        "127.0.0.1:5432",
		"TCP [::1]:5432":                  "[::1]:5432",
		"HTTP":                            "!needs an address",
		"TCP":                             "!needs an address",
		"TCP 1 2":                         "!one address",
		"TCP localhost":                   "!a port",
		"TCP 5432/x":                      "!a port",
		"TCP 0":                           "!from 1 to 65535",
		"HTTP 70000":                      "!from 1 to 65535",
		"HTTP db:80":                      "!not an address",
		"HTTP ftp://127.0.0.1/":           "!http or https",
		"HTTP http://a@127.0.0.1/":        "!a user",
		"HTTP 80 299-200":                 "!299-200",
		"HTTP 80 2xx":                     "!2xx",
		"HTTP 80/%zz":                     "!address",
	} {
		got, err := Parse(strings.Fields(text))
		if refusal, ok := strings.CutPrefix(want, "!"); ok {
			if err == nil || !strings.Contains(err.Error(), refusal) || !errdefs.IsInvalidArgument(err) {
				t.Errorf("%s: %v, want %s", text, err, refusal)
			}
			continue
		}
		s := got.Address.String()
		if got.url != nil {
			s += " " + got.url.String()
		}
		if err != nil || s != want {
			t.Errorf("%s: %s, %v; want %s", text, s, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"HTTP 8080/a 200-299,401", "TCP [::1]:5", "HTTP https://localhost/?q#f", "HTTP", "TCP :"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		words := strings.Fields(s)
		if len(words) == 0 {
			return
		}
		if got, err := Parse(words); err == nil && (!got.Address.IsValid() || got.Address.Port() == 0) {
			t.Errorf("%q: %v", s, got.Address)
		}
	})
}

func TestProbe(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/sick":
			http.Error(w, "no database", http.StatusServiceUnavailable)
		case "/moved":
			http.Redirect(w, r, "/sick", http.StatusFound)
		case "/big":
			_, _ = w.Write([]byte(strings.Repeat("x", 100*MaxOutput)))
		default:
			_, _ = w.Write([]byte("fine"))
		}
	}))
	defer server.Close()
	dial := func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", to.String())
	}
	port := server.URL[strings.LastIndex(server.URL, ":")+1:]
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, nobody, _ := net.SplitHostPort(refused.Addr().String())
	refused.Close()
	for _, row := range []struct {
		test string
		code int
		says string
	}{
		{"HTTP " + port, 0, ": 200 OK\nfine"},
		{"HTTP " + port + "/sick", 1, "503 Service Unavailable\nno database"},
		{"HTTP " + port + "/sick 500-599", 0, "503"},
		{"HTTP " + port + "/moved", 0, "302 Found"},
		{"HTTP " + port + "/moved 200", 1, "302 Found"},
		{"HTTP " + port + "/big", 0, "xxx"},
		{"HTTP " + nobody, 1, "connection refused"},
		{"TCP " + port, 0, "connected to"},
		{"TCP " + nobody, 1, "connection refused"},
	} {
		target, err := Parse(strings.Fields(row.test))
		if err != nil {
			t.Fatal(err)
		}
		if code, says := target.Probe(t.Context(), dial); code != row.code || !strings.Contains(says, row.says) || len(says) > 2*MaxOutput {
			t.Errorf("%s: %d %.200s; want %d %s", row.test, code, says, row.code, row.says)
		}
	}
}
