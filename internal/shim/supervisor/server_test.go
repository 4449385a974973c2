package supervisor

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/shim"
)

func TestExitCodes(t *testing.T) {
	for _, row := range []struct {
		name   string
		script string
		code   int
		log    string
	}{
		{"zero", "echo hello", 0, "hello\n"},
		{"code", "echo out; exit 42", 42, "out\n"},
		{"signal", "kill -KILL $$", 137, ""},
		{"no newline at the end", "printf 'a\nb'", 0, "a\nb"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			r := b.request("c1", "sh", "-c", row.script)
			b.start(r)
			if e := b.exit("c1", ""); e.Code != row.code || e.Unknown != "" || e.At.IsZero() {
				t.Errorf("exit %+v, want code %d", e, row.code)
			}
			if got := b.logged(r.Log); got != row.log {
				t.Errorf("log %q, want %q", got, row.log)
			}
			if err := b.Release(b.ctx, "c1"); err != nil {
				t.Error("release:", err)
			}
			if _, err := os.Stat(filepath.Join(b.root, "shim", "c1")); !errors.Is(err, os.ErrNotExist) {
				t.Error("state is left after release:", err)
			}
		})
	}
}

func TestAttachBeforeStart(t *testing.T) {
	b := newBench(t)
	both := b.attach(shim.AttachRequest{ID: "c1", Stdout: true, Stderr: true})
	one := b.attach(shim.AttachRequest{ID: "c1", Stderr: true})
	b.start(b.request("c1", "sh", "-c", "echo out; echo err >&2"))
	got := readAll(t, both)
	a, c := frame(1, "out\n"), frame(2, "err\n")
	if got != a+c && got != c+a {
		t.Errorf("both streams: %q", got)
	}
	if got := readAll(t, one); got != c {
		t.Errorf("stderr: %q", got)
	}
	// The exit is there when the stream ends.
	list, err := b.List(b.ctx)
	if err != nil || len(list) != 1 || list[0].Exit == nil {
		t.Errorf("after the end of the stream: %+v, %v", list, err)
	}
}

func TestStdinIsFedAndClosed(t *testing.T) {
	b := newBench(t)
	go b.Hold(b.ctx) // the second holder must not keep it open
	r := b.request("c1", "cat")
	r.OpenStdin, r.StdinOnce = true, true
	s := b.attach(shim.AttachRequest{ID: "c1", Stdin: true, Stdout: true})
	b.start(r)
	text := strings.Repeat("0123456789abcde\n", 20_000)
	go func() {
		s.Write([]byte(text))
		s.CloseWrite()
	}()
	got := unframe(t, readAll(t, s))
	if got != text {
		t.Errorf("%d bytes came back, %d were sent", len(got), len(text))
	}
	if got := b.logged(r.Log); got != text {
		t.Errorf("%d bytes logged", len(got))
	}
}

// unframe joins the payloads of frames.
func unframe(t *testing.T, s string) string {
	t.Helper()
	var out strings.Builder
	for len(s) > 0 {
		if len(s) < 8 {
			t.Fatalf("torn header %q", s)
		}
		n := int(s[4])<<24 | int(s[5])<<16 | int(s[6])<<8 | int(s[7])
		out.WriteString(s[8 : 8+n])
		s = s[8+n:]
	}
	return out.String()
}

func TestTerminal(t *testing.T) {
	b := newBench(t)
	r := b.request("c1", "sh", "-c", "read line; stty size; exit 3")
	r.OpenStdin, r.Spec.Process.Terminal = true, true
	s := b.attach(shim.AttachRequest{ID: "c1", Stdin: true, Stdout: true})
	b.start(r)
	if err := b.Resize(b.ctx, "c1", "", 101, 37); err != nil {
		t.Fatal("resize:", err)
	}
	s.Write([]byte("x\n"))
	if got := readAll(t, s); !strings.HasSuffix(got, "37 101\r\n") {
		t.Errorf("terminal says %q", got)
	}
	if e := b.exit("c1", ""); e.Code != 3 {
		t.Errorf("exit %+v", e)
	}
	if got := b.logged(r.Log); !strings.Contains(got, "37 101") {
		t.Errorf("log %q", got)
	}
}

func TestExec(t *testing.T) {
	b := newBench(t)
	r := b.request("c1", "sleep", "1000")
	b.start(r)
	s := b.attach(shim.AttachRequest{ID: "c1", ExecID: "e1", Stdin: true, Stdout: true})
	child := b.attach(shim.AttachRequest{ID: "c1", ExecID: "e1", Stderr: true})
	_, err := b.Exec(b.ctx, shim.ExecRequest{
		ID: "c1", ExecID: "e1", OpenStdin: true,
		// The child keeps the pipe open and must not delay the end.
		Process: &specs.Process{Args: []string{"sh", "-c", "cat; sleep 1000 & echo $! >&2; exit 7"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Write([]byte("words"))
	s.CloseWrite()
	if got := unframe(t, readAll(t, s)); got != "words" {
		t.Errorf("exec says %q", got)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(unframe(t, readAll(t, child))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
	if e := b.exit("c1", "e1"); e.Code != 7 {
		t.Errorf("exit %+v", e)
	}
	if got := b.logged(r.Log); got != "" {
		t.Errorf("an exec's output is in the log: %q", got)
	}
}

func TestRefusals(t *testing.T) {
	b := newBench(t)
	b.start(b.request("c1", "sleep", "1000"))
	start := func(id string, args ...string) error {
		_, err := b.Start(b.ctx, b.request(id, args...))
		return err
	}
	other := func() error {
		_, err := New(b.root, b.fake, slog.New(slog.DiscardHandler))
		return err
	}
	badLog := b.request("c2", "true")
	badLog.Log.Opts = map[string]string{"colour": "red"}
	_, logErr := b.Start(b.ctx, badLog)
	for _, row := range []struct {
		name string
		err  error
		is   func(error) bool
	}{
		{"ID taken", start("c1", "true"), errdefs.IsAlreadyExists},
		{"bad ID", start("../c2", "true"), errdefs.IsInvalidArgument},
		{"bad log option", logErr, errdefs.IsInvalidArgument},
		{"release while running", b.Release(b.ctx, "c1"), errdefs.IsFailedPrecondition},
		{"release of nothing", b.Release(b.ctx, "c9"), func(err error) bool { return err == nil }},
		{"shutdown while running", b.Shutdown(b.ctx), errdefs.IsFailedPrecondition},
		{"signal to nobody", b.Signal(b.ctx, "c9", "", syscall.SIGTERM), errdefs.IsNotFound},
		{"resize without a terminal", b.Resize(b.ctx, "c1", "", 1, 1), errdefs.IsFailedPrecondition},
		{"second shim", other(), errdefs.IsAlreadyExists},
		{"create fails", start("c3", "no-create"), func(err error) bool { return err != nil }},
		{"program missing", start("c4", "no-such-program"), func(err error) bool { return err != nil }},
	} {
		if !row.is(row.err) {
			t.Errorf("%s: %v", row.name, row.err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(b.root, "shim"))
	if err != nil || len(entries) != 1 {
		t.Errorf("half-made containers are left: %v %v", entries, err)
	}
}

func TestPauseIsListed(t *testing.T) {
	b := newBench(t)
	b.start(b.request("c1", "sleep", "1000"))
	if err := b.Pause(b.ctx, "c1"); err != nil {
		t.Fatal(err)
	}
	list, err := b.List(b.ctx)
	if err != nil || len(list) != 1 || !list[0].Paused || !b.fake.frozen["/fake/c1"] {
		t.Errorf("%+v %v", list, err)
	}
	if err := b.Resume(b.ctx, "c1"); err != nil {
		t.Fatal(err)
	}
}

// A container that nobody was told of does not run on.
func TestStartWithoutListener(t *testing.T) {
	b := newBench(t)
	conn := b.connect()
	if err := conn.CloseRead(); err != nil {
		t.Fatal(err)
	}
	b.send(conn, shim.MethodStart, b.request("c1", "sleep", "1000"))
	if e := b.exit("c1", ""); e.Code != 137 {
		t.Errorf("%+v", e)
	}
}

// A client that takes no output any more will give no input either.
func TestStdinOfLostClient(t *testing.T) {
	b := newBench(t)
	b.start(b.request("c1", "sleep", "1000"))
	conn := b.connect()
	b.send(conn, shim.MethodAttach, shim.AttachRequest{ID: "c1", ExecID: "e1", Stdin: true, Stdout: true})
	var attached shim.Response
	if err := shim.ReadFrame(conn, &attached); err != nil || attached.Error != nil {
		t.Fatal("attach:", err, attached.Error)
	}
	if err := conn.CloseRead(); err != nil {
		t.Fatal(err)
	}
	_, err := b.Exec(b.ctx, shim.ExecRequest{
		ID: "c1", ExecID: "e1", OpenStdin: true, Process: &specs.Process{Args: []string{"sh", "-c", "echo out; cat; exit 7"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if e := b.exit("c1", "e1"); e.Code != 7 {
		t.Errorf("exit %+v", e)
	}
}

// An exec whose client has gone before it is started gets no input, and its
// input ends: nobody else could end it.
func TestStdinOfClientGoneBeforeExec(t *testing.T) {
	b := newBench(t)
	go b.Hold(b.ctx) // the second holder must not keep it open
	b.start(b.request("c1", "sleep", "1000"))
	for _, id := range []string{"e1", "e2", "e3", "e4", "e5", "e6", "e7", "e8"} {
		s := b.attach(shim.AttachRequest{ID: "c1", ExecID: id, Stdin: true, Stdout: true})
		s.Close()
		_, err := b.Exec(b.ctx, shim.ExecRequest{
			ID: "c1", ExecID: id, OpenStdin: true, Process: &specs.Process{Args: []string{"sh", "-c", "cat; exit 7"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if e := b.exit("c1", id); e.Code != 7 {
			t.Errorf("exit %+v", e)
		}
	}
}
