package progress

import (
	"bytes"
	"strings"
	"testing"
	"time"

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
	p := printer{w: &b, terminal: true, width: 60, rows: map[string]int{}, moves: map[string]*move{}, now: time.Now}
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

func TestPace(t *testing.T) {
	began := time.Unix(1000, 0)
	for _, row := range []struct {
		after      time.Duration
		from       int64
		now, total int64
		room       int
		want       string
	}{
		{100 * time.Millisecond, 0, 50e6, 100e6, 80, "[=========================>                        ]  50MB/100MB"},
		{10 * time.Second, 0, 50e6, 100e6, 90, "50MB/100MB  5MB/s  11s left"},
		{10 * time.Second, 40e6, 50e6, 100e6, 90, "50MB/100MB  1MB/s  51s left"},
		{10 * time.Second, 0, 1e6, 1e9, 90, "1MB/1GB  100kB/s  2h46m left"},
		{10 * time.Second, 0, 1e6, 10e6, 90, "1MB/10MB  100kB/s  1m30s left"},
		{10 * time.Second, 0, 50e6, 0, 90, "50MB  5MB/s"},
		{10 * time.Second, 0, 50e6, 100e6, 20, "50MB/100MB"},
	} {
		m := move{at: began, from: row.from}
		p := jsonstream.Progress{Current: row.now, Total: row.total}
		got := bar(&p, row.room, m.pace(row.now, row.total, began.Add(row.after)))
		if !strings.HasSuffix(got, row.want) || len(got) > row.room {
			t.Errorf("%q, want %q", got, row.want)
		}
	}
}
