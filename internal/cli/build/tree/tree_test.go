package tree

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
)

var zero = time.Unix(1700000000, 0)

func at(seconds float64) *time.Time {
	t := zero.Add(time.Duration(seconds * float64(time.Second)))
	return &t
}

func vertex(name string, started, completed *time.Time) *client.Vertex {
	return &client.Vertex{Digest: digest.FromString(name), Name: name, Started: started, Completed: completed}
}

// build is one in the middle.
func build() *model {
	m := newModel(zero)
	cached := vertex("[build 1/3] FROM docker.io/library/golang", at(0.2), at(0.2))
	cached.Cached = true
	m.update(&client.SolveStatus{Vertexes: []*client.Vertex{
		vertex("[internal] load build context", at(0), at(0.3)),
		cached,
		vertex("[build 2/3] COPY . .", at(0.3), at(0.4)),
		vertex("[build 3/3] RUN make", at(0.4), nil),
		vertex("[stage-1 2/2] COPY --from=build /x /x", nil, nil),
	}, Logs: []*client.VertexLog{
		{Vertex: digest.FromString("[build 3/3] RUN make"), Data: []byte("cc -o a\nld \x1b[31mred\x1b[0m\rlinking\nhalf a li")},
	}})
	return m
}

func TestDraw(t *testing.T) {
	got := strings.Join(build().draw("shop:1", *at(3), 60, 30, false), "\n")
	want := `Building shop:1                                        3.0s
├─ preparation
│  └─ ✓ load build context                             0.3s
└─ build
   ├─ ✓ FROM docker.io/library/golang                cached
   ├─ ✓ COPY . .                                       0.1s
   └─ ▸ RUN make                                       2.6s
        cc -o a
        linking
        half a li`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A small terminal shows less: first less output, then only what runs.
func TestDrawSmall(t *testing.T) {
	m := build()
	for height := 1; height < 12; height++ {
		lines := m.draw("shop:1", *at(3), 40, height, false)
		if len(lines) > height {
			t.Errorf("%d lines for %d", len(lines), height)
		}
		for _, l := range lines {
			if n := len([]rune(l)); n >= 40 {
				t.Errorf("a line of %d columns: %s", n, l)
			}
		}
	}
	if got := strings.Join(m.draw("x", *at(3), 40, 5, false), "\n"); !strings.Contains(got, "build (2 done)") || !strings.Contains(got, "RUN make") {
		t.Errorf("five lines:\n%s", got)
	}
}

func TestFailed(t *testing.T) {
	m := build()
	stopped := vertex("[stage-1 2/2] COPY --from=build /x /x", at(1), at(2))
	stopped.Error = "context canceled"
	failed := vertex("[build 3/3] RUN make", at(0.4), at(3))
	failed.Error = "exit code: 2"
	m.update(&client.SolveStatus{Vertexes: []*client.Vertex{stopped, failed}})
	s := m.failed()
	if s == nil || s.Title() != "RUN make (stage build)" {
		t.Fatalf("failed: %+v", s)
	}
	if got := strings.Join(s.LastLines(2), "|"); got != "linking|half a li" {
		t.Errorf("last lines: %s", got)
	}
	if got := strings.Join(m.draw("x", *at(3), 60, 30, true), "\n"); !strings.Contains(got, "✗ RUN make") || !strings.Contains(got, "stopped") {
		t.Errorf("drawn:\n%s", got)
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"[internal] load .dockerignore":         "|load .dockerignore",
		"[1/3] FROM busybox":                    "image|FROM busybox",
		"[build 2/5] RUN x":                     "build|RUN x",
		"[linux/arm64 build 2/5] RUN x":         "linux/arm64 build|RUN x",
		"[linux/arm64 2/5] RUN x":               "linux/arm64|RUN x",
		"exporting to image":                    "|exporting to image",
		"[auth] library/x:pull token for y":     "|library/x:pull token for y",
		"[stage-1 10/12] RUN [ -f x ] && [ y ]": "stage-1|RUN [ -f x ] && [ y ]",
	} {
		if s := stepOf(name); s.Stage+"|"+s.Name != want {
			t.Errorf("%s: %s|%s; want %s", name, s.Stage, s.Name, want)
		}
	}
}

// The view draws over what it drew, and ends with all of it.
func TestView(t *testing.T) {
	var out bytes.Buffer
	v := New(&out, Terminal, "x")
	status := make(chan *client.SolveStatus)
	done := make(chan struct{})
	go func() { v.Show(status); close(done) }()
	status <- &client.SolveStatus{Vertexes: []*client.Vertex{vertex("[1/1] RUN x", at(0), nil)}}
	status <- &client.SolveStatus{} // taken: the one before is shown
	v.Pause()
	status <- &client.SolveStatus{Vertexes: []*client.Vertex{vertex("[1/1] RUN x", at(0), at(1))}}
	close(status)
	<-done
	if got := out.String(); !strings.Contains(got, "RUN x") || strings.Contains(got, "✓") {
		t.Errorf("a paused view wrote on: %q", got)
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x1b[31mb\x1b[0m\rc\t\x00")
	f.Fuzz(func(t *testing.T, text string) {
		if got := clean(text); strings.ContainsAny(got, "\x1b\r\n\x00\x07") && !strings.Contains(text, "\n") {
			t.Errorf("%q left %q", text, got)
		}
	})
}
