package supervisor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/logs"
	"github.com/berth-containers/berth/internal/shim"
)

// victim is a shim in a process of its own, to be killed.
type victim struct {
	*bench
	cmd  *exec.Cmd
	hold context.CancelFunc
	held chan struct{}
}

func newVictim(t *testing.T) *victim {
	v := &victim{bench: &bench{t: t, root: t.TempDir(), ctx: deadline(t)}}
	v.spawn()
	v.Client = dial(t, v.ctx, v.root)
	v.holding()
	t.Cleanup(func() {
		killAll(v.Client)
		v.kill()
	})
	return v
}

func (v *victim) spawn() {
	v.t.Helper()
	v.cmd = exec.Command(os.Args[0])
	v.cmd.Env = append(os.Environ(), serveEnv+"="+v.root)
	v.cmd.Stderr = v.t.Output()
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := v.cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
}

// holding makes this process the second holder, as an engine is.
func (v *victim) holding() {
	ctx, cancel := context.WithCancel(v.ctx)
	v.hold, v.held = cancel, make(chan struct{})
	go func() {
		defer close(v.held)
		v.Hold(ctx)
	}()
}

// kill is kill -9.
func (v *victim) kill() {
	v.cmd.Process.Kill()
	v.cmd.Wait()
	<-v.held
}

// next starts the next shim.
func (v *victim) next() {
	v.t.Helper()
	v.spawn()
	for v.Client.Resize(v.ctx, "nobody", "", 0, 0); ; {
		if _, err := v.List(v.ctx); err == nil {
			break
		} else if v.ctx.Err() != nil {
			v.t.Fatal("the next shim does not answer:", err)
		}
	}
	v.holding()
}

// awaitLine follows the log until the line is there.
func (v *victim) awaitLine(c shim.LogConfig, line string) {
	v.t.Helper()
	found := errors.New("found")
	o := logs.ReadOptions{Tail: -1, Stdout: true, Stderr: true, Follow: true}
	err := logs.Read(v.ctx, logConfig(c), o, func(m logs.Message) error {
		if strings.TrimSpace(string(m.Line)) == line {
			return found
		}
		return nil
	})
	if !errors.Is(err, found) {
		v.t.Fatalf("line %q does not come: %v", line, err)
	}
}

// Lines that are written while shims are killed come once, in order.
func TestKilledShimLosesAndDoublesNothing(t *testing.T) {
	for _, driver := range []string{logs.DriverRing, logs.DriverJSONFile} {
		t.Run(driver, func(t *testing.T) {
			const lines, kills = 40_000, 8
			v := newVictim(t)
			r := v.request("c1", "sh", "-c", fmt.Sprintf(
				"i=0; while [ $i -lt %d ]; do echo $i; echo $i >&2; i=$((i+1)); done; exit 9", lines))
			r.Log.Driver = driver
			r.Log.Opts = map[string]string{"max-size": "200k", "max-file": "100"}
			v.start(r)
			for k := range kills {
				v.awaitLine(r.Log, fmt.Sprint((k+1)*lines/(kills+2)))
				v.kill()
				v.next()
			}
			if e := v.exit("c1", ""); e.Code != 9 || e.Unknown != "" {
				t.Errorf("exit %+v", e)
			}
			want := map[logs.Stream]int{}
			err := logs.Read(v.ctx, logConfig(r.Log), logs.ReadOptions{Tail: -1, Stdout: true, Stderr: true}, func(m logs.Message) error {
				if got := strings.TrimSpace(string(m.Line)); got != fmt.Sprint(want[m.Stream]) {
					return fmt.Errorf("%s: line %q, want %d", m.Stream, got, want[m.Stream])
				}
				want[m.Stream]++
				return nil
			})
			if err != nil || want[logs.Stdout] != lines || want[logs.Stderr] != lines {
				t.Errorf("%v lines, want %d of each: %v", want, lines, err)
			}
		})
	}
}

// What ended while no shim ran is found by the pidfd and the pipes that the
// second holder has.
func TestEndedWithoutShim(t *testing.T) {
	v := newVictim(t)
	r := v.request("c1", "sh", "-c", "read x; echo last words; exit 5")
	r.OpenStdin = true
	v.start(r)
	in := v.attach(shim.AttachRequest{ID: "c1", Stdin: true})
	held := v.awaitHeld(t, "c1//stdin", "c1//pidfd", "c1//stdout")
	v.kill()
	in.Close()
	// The holder has the only writing end now.
	if _, err := held["c1//stdin"].Write([]byte("x\n")); err != nil {
		t.Fatal(err)
	}
	if err := waitPidfd(held["c1//pidfd"]); err != nil {
		t.Fatal(err)
	}
	v.next()
	if e := v.exit("c1", ""); e.Code != 5 || e.Unknown != "" {
		t.Errorf("exit %+v", e)
	}
	if got := v.logged(r.Log); got != "last words\n" {
		t.Errorf("log %q", got)
	}
}

// Without a holder a code that nobody saw is unknown, never made up.
func TestUnknownExit(t *testing.T) {
	v := newVictim(t)
	v.hold()
	<-v.held
	r := v.request("c1", "sh", "-c", "read x; exit 5")
	r.OpenStdin = true
	v.start(r)
	list, err := v.List(v.ctx)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	pid := openPidfd(t, list[0].Pid)
	v.kill() // the last writing end of stdin goes with it
	if err := waitReaped(pid); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Skip("the init of this machine reaps nothing, so the code stays known")
	} else if err != nil {
		t.Fatal(err)
	}
	pid.Close()
	v.Client.Close()
	v.next()
	if e := v.exit("c1", ""); e.Code != -1 || e.Unknown == "" {
		t.Errorf("exit %+v", e)
	}
}

func TestTerminalSurvives(t *testing.T) {
	v := newVictim(t)
	r := v.request("c1", "sh", "-c", "stty -echo; echo ready; read a; echo got $a; exit 4")
	r.OpenStdin, r.Spec.Process.Terminal = true, true
	s := v.attach(shim.AttachRequest{ID: "c1", Stdin: true, Stdout: true})
	v.start(r)
	line, err := bufio.NewReader(s).ReadString('\n')
	if err != nil || line != "ready\r\n" {
		t.Fatal(line, err)
	}
	v.awaitHeld(t, "c1//console", "c1//pidfd")
	v.kill()
	v.next()
	for v.Resize(v.ctx, "c1", "", 80, 25) != nil && v.ctx.Err() == nil {
	} // the terminal is back
	s = v.attach(shim.AttachRequest{ID: "c1", Stdin: true, Stdout: true})
	s.Write([]byte("this\n"))
	if got := readAll(t, s); !strings.Contains(got, "got this") {
		t.Errorf("terminal says %q", got)
	}
	if e := v.exit("c1", ""); e.Code != 4 {
		t.Errorf("exit %+v", e)
	}
}

func TestExecIsTakenOver(t *testing.T) {
	v := newVictim(t)
	v.start(v.request("c1", "sleep", "1000"))
	v.attach(shim.AttachRequest{ID: "c1", ExecID: "e1", Stdin: true})
	_, err := v.Exec(v.ctx, shim.ExecRequest{ID: "c1", ExecID: "e1", OpenStdin: true,
		Process: &specs.Process{Args: []string{"sh", "-c", "read x; exit 6"}}})
	if err != nil {
		t.Fatal(err)
	}
	v.awaitHeld(t, "c1/e1/stdin")["c1/e1/stdin"].Close() // else this test kept it open
	v.kill()
	v.next()
	s := v.attach(shim.AttachRequest{ID: "c1", ExecID: "e1", Stdin: true, Stdout: true})
	s.CloseWrite()
	if e := v.exit("c1", "e1"); e.Code != 6 {
		t.Errorf("exit %+v", e)
	}
	list, err := v.List(v.ctx)
	if err != nil || len(list) != 1 || list[0].Exit != nil {
		t.Errorf("container: %+v %v", list, err)
	}
}

// A shim that dies while it creates a container has told nobody of its cgroup.
func TestCgroupOfUnborn(t *testing.T) {
	root, f := t.TempDir(), newFake()
	dir := places(root).dir("c1")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeJSON(places(root).file(key{"c1", ""}, specFile), specs.Spec{Linux: &specs.Linux{CgroupsPath: "/fake/c1"}}); err != nil {
		t.Fatal(err)
	}
	s, err := New(root, f, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.lock.Close()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) || len(f.removed) != 1 || f.removed[0] != "/fake/c1" {
		t.Errorf("removed %v, folder: %v", f.removed, err)
	}
}
