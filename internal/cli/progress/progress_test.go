package progress

import (
	"bytes"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/jsonstream"
)

func TestShowLines(t *testing.T) {
	var b bytes.Buffer
	err := Show(&b, strings.NewReader(`{"status":"Pulling from x","id":"latest"}
{"status":"Downloading","id":"l","progressDetail":{"current":1,"total":2}}
{"status":"Pull complete","progressDetail":{},"id":"l"}
{"aux":{"ID":"x"}}
{"status":"Digest: d"}
{"stream":"Loaded image: y\n"}
{"errorDetail":{"message":"it broke"},"error":"it broke"}`), nil)
	if err == nil || err.Error() != "it broke" || b.String() != "latest: Pulling from x\nl: Pull complete\nDigest: d\nLoaded image: y\n" {
		t.Errorf("%q %v", b.String(), err)
	}
	if err := Show(&b, strings.NewReader(`{"status":`), nil); err == nil {
		t.Error("a torn answer is no error")
	}
}

func TestRedrawReturnsToTheRow(t *testing.T) {
	var b bytes.Buffer
	p := printer{w: &b, terminal: true, width: 60, rows: map[string]int{}}
	for _, m := range []jsonstream.Message{{ID: "a", Status: "Waiting"}, {ID: "b", Status: "Waiting"},
		{ID: "a", Status: "Downloading", Progress: &jsonstream.Progress{Current: 50, Total: 100}}} {
		if err := p.print(message{Message: m}); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.String(); !strings.HasPrefix(got, "a: Waiting\nb: Waiting\n\x1b[2A\r\x1b[2Ka: Downloading [") || !strings.HasSuffix(got, "50B/100B\r\x1b[2B") {
		t.Errorf("%q", got)
	}
}
