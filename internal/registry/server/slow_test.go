package server

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// A client that stops in the middle of a blob is let go, and what it sent is
// there to go on from.
func TestClientThatStandsStill(t *testing.T) {
	l := newLab(t, "", func(o *Options) { o.Patience = 100 * time.Millisecond })
	where := strings.TrimPrefix(l.absolute(l.want(202, "POST", "/v2/app/blobs/uploads/", nil).Header.Get("Location")), l.url)
	c, err := net.Dial("tcp", strings.TrimPrefix(l.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "PATCH %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhello", where)
	if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c); err != nil {
		t.Fatalf("the connection was not ended: %v", err)
	}
	a := l.want(204, "GET", where, nil)
	if got := a.Header.Get("Range"); got != "0-4" {
		t.Fatalf("the upload has %s", got)
	}
	a = l.want(202, "PATCH", a.Header.Get("Location"), []byte(" world"))
	l.want(201, "PUT", a.Header.Get("Location")+"&digest="+digest.FromString("hello world").String(), nil)
}
