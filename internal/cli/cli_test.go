package cli

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fake is an engine that has one image once it was pulled, and whose
// containers end with code.
type fake struct {
	mu      sync.Mutex
	calls   []string
	pulled  bool
	code    string
	refuse  string        // start's error
	started chan struct{} // closed by start
	killed  chan string   // gets a signal, which is the end
	over    chan struct{} // with killed: closed at the end
	input   string
}

func (f *fake) note(s string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, s)
}

func (f *fake) history() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path[len("/v1.56"):]
	switch path {
	case "/containers/create":
		f.note("create")
		if !f.pulled {
			http.Error(w, `{"message":"No such image: box:latest"}`, http.StatusNotFound)
			return
		}
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, `{"Id":"abc","Warnings":["careful"]}`)
	case "/images/create":
		f.note("pull " + r.URL.Query().Get("fromImage") + ":" + r.URL.Query().Get("tag"))
		f.pulled = true
		io.WriteString(w, `{"status":"Pull complete","id":"l1"}`+"\n")
	case "/containers/abc/attach":
		f.attach(w)
	case "/containers/abc/wait":
		f.note("wait " + r.URL.Query().Get("condition"))
		w.(http.Flusher).Flush()
		select {
		case <-f.started:
			if f.killed != nil {
				<-f.over
			}
			io.WriteString(w, `{"StatusCode":`+f.code+`}`)
		case <-r.Context().Done():
		}
	case "/containers/abc/start":
		f.note("start")
		if f.refuse != "" {
			http.Error(w, `{"message":"`+f.refuse+`"}`, http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
		close(f.started)
	case "/containers/abc/kill":
		f.killed <- r.URL.Query().Get("signal")
	default:
		http.Error(w, `{"message":"page not found"}`, http.StatusNotFound)
	}
}

func (f *fake) attach(w http.ResponseWriter) {
	f.note("attach")
	conn, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	io.WriteString(conn, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
	if f.refuse != "" {
		return
	}
	<-f.started
	io.WriteString(conn, "\x01\x00\x00\x00\x00\x00\x00\x03out\x02\x00\x00\x00\x00\x00\x00\x03err")
	if f.input != "" {
		in, _ := io.ReadAll(rw)
		f.note("input " + string(in))
	}
	if f.killed != nil {
		f.note("signal " + <-f.killed)
		close(f.over)
	}
}

// berth runs a command line against the fake.
func berth(t *testing.T, f *fake, in string, args ...string) (code int, out, errOut string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: f}}
	server.Start()
	defer server.Close()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var o, e bytes.Buffer
	code = Main(ctx, append([]string{"-H", "unix://" + socket}, args...), strings.NewReader(in), &o, &e, BuildElsewhere(nil))
	return code, o.String(), e.String()
}

func newFake(code string) *fake { return &fake{pulled: true, code: code, started: make(chan struct{})} }

func TestRunExitCodes(t *testing.T) {
	for _, tc := range []struct {
		code, refuse string
		want         int
	}{
		{"0", "", 0}, {"3", "", 3}, {"137", "", 137},
		{"0", `exec: \"x\": executable file not found in $PATH`, 127},
		{"0", `exec: \"x\": permission denied`, 126},
		{"0", "driver failed", 125},
	} {
		f := newFake(tc.code)
		f.refuse = tc.refuse
		code, out, errOut := berth(t, f, "", "run", "box", "x")
		if code != tc.want {
			t.Errorf("%+v: exit %d: %s", tc, code, errOut)
		}
		if tc.refuse == "" && (out != "out" || errOut != "WARNING: careful\nerr") {
			t.Errorf("%+v: out %q, err %q", tc, out, errOut)
		}
	}
}

func TestRunOrder(t *testing.T) {
	f := newFake("0")
	f.pulled, f.input = false, "expected"
	cid := filepath.Join(t.TempDir(), "cid")
	code, out, errOut := berth(t, f, "typed", "run", "--rm", "-i", "--cidfile", cid, "box", "cat")
	if code != 0 || out != "out" {
		t.Errorf("exit %d, %q, %q", code, out, errOut)
	}
	if !strings.Contains(errOut, "Unable to find image 'box' locally\n") || !strings.Contains(errOut, "l1: Pull complete\n") {
		t.Errorf("progress: %q", errOut)
	}
	got := strings.Join(f.history(), ", ")
	head, tail := "create, pull box:latest, create, ", ", start, input typed"
	if !strings.HasPrefix(got, head) || !strings.HasSuffix(got, tail) {
		t.Errorf("order: %s", got)
	}
	if between := strings.TrimSuffix(strings.TrimPrefix(got, head), tail); between != "attach, wait removed" && between != "wait removed, attach" {
		t.Errorf("before the start: %s", between)
	}
	if b, err := os.ReadFile(cid); string(b) != "abc" {
		t.Errorf("cidfile: %q %v", b, err)
	}
}

func TestRunDetachedAndRefused(t *testing.T) {
	if code, out, _ := berth(t, newFake("0"), "", "run", "-d", "box"); code != 0 || out != "abc\n" {
		t.Errorf("-d: exit %d, %q", code, out)
	}
	f := newFake("0")
	f.pulled = false
	cid := filepath.Join(t.TempDir(), "cid")
	code, _, errOut := berth(t, f, "", "run", "--pull", "never", "--cidfile", cid, "box")
	if code != 125 || errOut != "berth: Error response from daemon: No such image: box:latest\n" {
		t.Errorf("--pull never: exit %d, %q", code, errOut)
	}
	if _, err := os.Stat(cid); err == nil {
		t.Error("the cidfile stays without a container")
	}
}

func TestRunForwardsSignals(t *testing.T) {
	f := newFake("143")
	f.killed, f.over = make(chan string, 1), make(chan struct{})
	go func() {
		<-f.started
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
	}()
	code, _, errOut := berth(t, f, "", "run", "box")
	if calls := f.history(); code != 143 || calls[len(calls)-1] != "signal 15" {
		t.Errorf("exit %d, %q, %v", code, errOut, calls)
	}
}

func TestMistakes(t *testing.T) {
	for line, want := range map[string]struct {
		code int
		text string
	}{
		"run --nope box":       {125, "berth: unknown flag: --nope\nSee 'berth run --help'.\n"},
		"create -m lots box":   {125, `"lots"`},
		"run":                  {125, `"berth run" requires at least 1 argument`},
		"ps --nope":            {1, "See 'berth ps --help'."},
		"nosuchverb":           {1, "berth: unknown command: berth nosuchverb\n"},
		"volume nosuch":        {1, "unknown command: berth volume nosuch"},
		"rm x":                 {1, "Error response from daemon: page not found\n"},
		"-H x://y ps":          {1, "x://y"},
		"-H a -H b ps":         {1, "only one -H"},
		"inspect --type pig x": {1, `"pig"`},
		"logs --since when x":  {1, `"when" for --since`},
	} {
		code, _, errOut := berth(t, newFake("0"), "", strings.Fields(line)...)
		if strings.HasPrefix(line, "-H x") || strings.HasPrefix(line, "-H a") {
			var e bytes.Buffer
			code = Main(context.Background(), strings.Fields(line), nil, io.Discard, &e, BuildElsewhere(nil))
			errOut = e.String()
		}
		if code != want.code || !strings.Contains(errOut, want.text) {
			t.Errorf("%s: exit %d, %q; want %d, %q", line, code, errOut, want.code, want.text)
		}
	}
}

func TestHelp(t *testing.T) {
	for line, want := range map[string]string{
		"--help":             "  run         Create and run",
		"run --help":         "Usage:  berth run [OPTIONS] IMAGE [COMMAND] [ARG...]",
		"volume":             "  ls          List volumes",
		"image rm --help":    "Usage:  berth image rm",
		"system info --help": "Usage:  berth system info",
	} {
		code, out, errOut := berth(t, newFake("0"), "", strings.Fields(line)...)
		if code != 0 || !strings.Contains(out, want) || strings.Contains(out, "true|false") {
			t.Errorf("%s: exit %d, %q %q", line, code, out, errOut)
		}
	}
}
