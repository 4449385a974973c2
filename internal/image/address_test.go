package image

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestOpenAddress(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/a.tar" {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, "content") //nolint:errcheck // the test looks at what comes
	}))
	defer server.Close()
	body, err := OpenAddress(context.Background(), server.URL+"/a.tar")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if b, err := io.ReadAll(body); err != nil || string(b) != "content" {
		t.Errorf("%q %v", b, err)
	}
	for address, want := range map[string]string{
		server.URL + "/b.tar": "404 Not Found", "file:///etc/passwd": "no address that begins with", "http://": "no address that begins with",
		"http://127.0.0.1:1/x": "connection refused",
	} {
		if body, err := OpenAddress(context.Background(), address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v %v", address, body, err)
		}
	}
}
