package harness

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Patience bounds every wait of the harness; it never decides a test that works.
const Patience = 60 * time.Second

// Engine is a berthd with roots, a cgroup parent and a subnet of its own.
type Engine struct {
	Dir          string // everything of it; removed at the end
	DataRoot     string
	ExecRoot     string
	Socket       string
	CgroupParent string
	Flags        []string // further flags for the next Start
	Root         string   // the next Start is in this chroot, unless empty

	t       testing.TB
	cmd     *exec.Cmd
	log     *os.File
	clients string // the socket that command-line clients are given
}

// Bin returns the path of one of the built binaries.
func Bin(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("BERTH_BIN")
	if dir == "" {
		t.Fatal("BERTH_BIN must name the folder of the built binaries (make build puts them into bin/)")
	}
	return filepath.Join(dir, name)
}

// New makes the folders of an engine and starts it. When the test ends, its
// containers are removed, engine and shim are ended, and anything that is left
// behind fails the test.
func New(t testing.TB, flags ...string) *Engine {
	t.Helper()
	dir, err := os.MkdirTemp("", "berth-test-")
	if err != nil {
		t.Fatal(err)
	}
	var id [4]byte
	_, _ = rand.Read(id[:])
	e := &Engine{
		t:            t,
		Dir:          dir,
		DataRoot:     filepath.Join(dir, "data"),
		ExecRoot:     filepath.Join(dir, "run"),
		Socket:       filepath.Join(dir, "berth.sock"),
		CgroupParent: "/berth-test-" + hex.EncodeToString(id[:]),
		Flags:        flags,
	}
	e.clients = e.Socket
	if e.log, err = os.Create(filepath.Join(dir, "berthd.log")); err != nil {
		t.Fatal(err)
	}
	before := firstLook()
	engines.Add(1)
	t.Cleanup(func() { e.end(before) })
	e.Start()
	return e
}

// Start starts the engine and returns when it answers.
func (e *Engine) Start() {
	e.t.Helper()
	if err := e.TryStart(); err != nil {
		e.t.Fatalf("%v\n%s", err, e.Log())
	}
}

// TryStart is Start for an engine that may refuse.
func (e *Engine) TryStart() error {
	args := append([]string{
		"--data-root", e.DataRoot, "--exec-root", e.ExecRoot, "--host", "unix://" + e.Socket,
		"--cgroup-parent", e.CgroupParent, "--pidfile", filepath.Join(e.Dir, "berthd.pid"),
		"--log-level", "debug",
	}, e.Flags...)
	e.cmd = exec.Command(Bin(e.t, "berthd"), args...)
	e.cmd.Stdout, e.cmd.Stderr = e.log, e.log
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: e.Root}
	if err := e.cmd.Start(); err != nil {
		return err
	}
	exited := make(chan error, 1)
	cmd := e.cmd
	go func() { exited <- cmd.Wait() }()
	deadline := time.After(Patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-exited:
			e.cmd = nil
			return fmt.Errorf("berthd ended before it answered: %v", err)
		case <-deadline:
			_ = cmd.Process.Kill()
			return errors.New("berthd does not answer")
		case <-tick.C:
			if status, _, err := e.Do("GET", "/_ping", ""); err == nil && status == http.StatusOK {
				return nil
			}
		}
	}
}

// Pid is the engine's process.
func (e *Engine) Pid() int { return e.cmd.Process.Pid }

// Kill ends the engine by SIGKILL.
func (e *Engine) Kill() { e.signal(syscall.SIGKILL) }

// Stop ends the engine by SIGTERM and waits for it; containers go on.
func (e *Engine) Stop() { e.signal(syscall.SIGTERM) }

func (e *Engine) signal(sig syscall.Signal) {
	e.t.Helper()
	pid := e.cmd.Process.Pid
	if err := syscall.Kill(pid, sig); err != nil {
		e.t.Fatalf("signal berthd: %v", err)
	}
	e.cmd = nil
	Eventually(e.t, "berthd to end", func() bool { return syscall.Kill(pid, 0) != nil })
}

// ShimPid is the shim's process, 0 if none runs.
func (e *Engine) ShimPid() int { return Find("berth-shim", e.ExecRoot) }

// Find returns the process of that name with text in its arguments; name alone
// is enough for one whose arguments are all defaults. 0: there is none.
func Find(name, text string) int {
	for _, pid := range Processes() {
		args := cmdline(pid)
		if filepath.Base(args[0]) == name && (len(args) == 1 || strings.Contains(strings.Join(args, " "), text)) {
			return pid
		}
	}
	return 0
}

// KillShim ends the shim by SIGKILL.
func (e *Engine) KillShim() {
	e.t.Helper()
	pid := e.ShimPid()
	if pid == 0 {
		e.t.Fatal("no shim runs")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		e.t.Fatal(err)
	}
	Eventually(e.t, "the shim to end", func() bool { return syscall.Kill(pid, 0) != nil })
}

// Log returns the end of what the engine wrote to its log.
func (e *Engine) Log() string {
	b, err := os.ReadFile(e.log.Name())
	if err != nil {
		return err.Error()
	}
	// A line for each request would push out what says why.
	lines := slices.DeleteFunc(strings.SplitAfter(string(b), "\n"), func(l string) bool {
		return strings.Contains(l, "level=DEBUG msg=request") && strings.Contains(l, "error=<nil>")
	})
	const most = 8 << 10
	text := strings.Join(lines, "")
	return text[max(0, len(text)-most):]
}

// Do sends one request to the engine's socket.
func (e *Engine) Do(method, path, body string) (status int, answer string, err error) {
	kind := ""
	if body != "" {
		kind = "application/json"
	}
	return e.Send(method, path, kind, strings.NewReader(body))
}

// Send is Do with a body of any type.
func (e *Engine) Send(method, path, contentType string, body io.Reader) (status int, answer string, err error) {
	client := &http.Client{
		Timeout: Patience,
		Transport: judged(e.t, &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", e.Socket)
			},
		}),
	}
	req, err := http.NewRequest(method, "http://berth"+path, body)
	if err != nil {
		return 0, "", err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(resp.Body)
	return resp.StatusCode, b.String(), err
}

// end removes what the test made and looks for what stays.
func (e *Engine) end(before place) {
	if e.t.Failed() {
		e.t.Logf("the engine's log:\n%s", e.Log())
	}
	if e.cmd == nil {
		if err := e.TryStart(); err != nil {
			e.t.Errorf("the engine does not start again: %v\n%s", err, e.Log())
		}
	}
	if e.cmd != nil {
		if ids := strings.Fields(e.Berth("ps", "-aq", "--no-trunc").Out); len(ids) > 0 {
			e.Berth(append([]string{"rm", "-f", "-v"}, ids...)...)
		}
		e.Stop()
	}
	if pid := e.ShimPid(); pid != 0 {
		_ = syscall.Kill(pid, syscall.SIGTERM)
		Eventually(e.t, "the idle shim to end on SIGTERM", func() bool { return syscall.Kill(pid, 0) != nil })
	}
	e.log.Close()
	if engines.Add(-1) == 0 { // another's things are not this one's
		before.compare(e.t, Patience, e.left)
	}
	if err := os.RemoveAll(e.Dir); err != nil {
		e.t.Errorf("remove the engine's folder: %v", err)
	}
}

// Processes lists the lab's processes.
func Processes() []int {
	entries, _ := os.ReadDir("/proc")
	var pids []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func cmdline(pid int) []string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
}

// Eventually waits until cond holds, for at most Patience.
func Eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	if !Await(cond) {
		t.Fatalf("waited in vain for %s", what)
	}
}

// Await is Eventually for goroutines: it reports whether cond came to hold.
func Await(cond func() bool) bool {
	deadline := time.Now().Add(Patience)
	for !cond() {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(5 * time.Millisecond)
	}
	return true
}
