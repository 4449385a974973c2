package faults

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// freeze stops a process by SIGSTOP; the caller calls thaw, the test's end does.
func freeze(t *testing.T, pid int) (thaw func()) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	thaw = func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
	t.Cleanup(thaw)
	harness.Eventually(t, "the process to stop", func() bool {
		b, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		_, rest, _ := strings.Cut(string(b), ") ")
		return strings.HasPrefix(rest, "T")
	})
	return thaw
}

// request sends one request that the test does not wait for.
func request(t *testing.T, e *harness.Engine, path string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", e.Socket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: berth\r\nContent-Length: 0\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
	return conn
}

// While a shim does not move and every place of a start is taken, what needs no
// shim is answered; clients that give up leave nothing; afterwards all is whole.
func TestStoppedShim(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	e.OK("run", "-d", "--name", "other", "busybox", "sh", "-c", "echo words; exec sleep 1000")
	harness.Eventually(t, "its output", func() bool { return e.OK("logs", "other") == "words" })
	const hanging, waiting = 32, 8
	for i := range hanging + waiting {
		e.OK("create", "--name", fmt.Sprint("box", i), "busybox", "sleep", "1000")
	}
	thaw := freeze(t, e.ShimPid())
	var patient []net.Conn
	for i := range hanging {
		patient = append(patient, request(t, e, fmt.Sprintf("/containers/box%d/start", i)))
	}
	// All of them are with the shim, or on the way to it, when no more come.
	for i := range waiting {
		conn := request(t, e, fmt.Sprintf("/containers/box%d/start", hanging+i))
		if i%2 == 0 {
			conn.Close() // gives up
			continue
		}
		patient = append(patient, conn)
	}
	if got := len(strings.Fields(e.OK("ps", "-aq"))); got != hanging+waiting+1 {
		t.Errorf("ps: %d containers", got)
	}
	if got := state(e, "other"); got != "running 0" {
		t.Errorf("inspect: %s", got)
	}
	if got := e.OK("logs", "other"); got != "words" {
		t.Errorf("logs: %q", got)
	}
	stopped := make(chan int, 1)
	id := e.OK("inspect", "-f", "{{.Id}}", "other") // the name may be gone before the request is there
	go func() { stopped <- e.Berth("stop", "-t", "0", id).Code }()
	e.OK("rename", "other", "renamed") // stop waits for the shim without its turn
	thaw()
	if code := <-stopped; code != 0 {
		t.Errorf("stop: %d", code)
	}
	awaitState(t, e, "renamed", "exited 137")
	for _, conn := range patient {
		answer := make([]byte, len("HTTP/1.1 204"))
		if _, err := conn.Read(answer); err != nil || string(answer) != "HTTP/1.1 204" {
			t.Errorf("a start: %q %v", answer, err)
		}
		conn.Close()
	}
	for i := range hanging + waiting {
		name := fmt.Sprint("box", i)
		if i >= hanging && (i-hanging)%2 == 0 {
			// It got a place before it gave up, or it did not.
			if r := e.Berth("start", name); r.Code != 0 {
				t.Errorf("start %s: %s", name, r.Err)
			}
		}
		e.OK("exec", name, "true")
	}
}

// An engine that does not move for a while has missed nothing afterwards.
func TestStoppedEngine(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	for i := range 8 {
		e.OK("run", "-d", "--name", fmt.Sprint("box", i), "-v", e.Dir+":/gate", "busybox", "sh", "-c",
			fmt.Sprintf("while [ ! -e /gate/go ]; do usleep 20000; done; n=0; while [ $n -lt 3000 ]; do echo line $n of a container; n=$((n+1)); done; touch /gate/done%d; exit %d", i, 20+i))
	}
	e.OK("run", "-d", "--rm", "--name", "gone", "-v", e.Dir+":/gate", "busybox", "sh", "-c", "while [ ! -e /gate/go ]; do usleep 20000; done")
	waits := make(chan string, 8)
	for i := range cap(waits) {
		cmd := e.Command("berth", "wait", fmt.Sprint("box", i))
		go func() {
			out, err := cmd.Output()
			if want := fmt.Sprint(20 + i); err != nil || strings.TrimSpace(string(out)) != want {
				waits <- fmt.Sprintf("wait for box%d: %q %v", i, out, err)
				return
			}
			waits <- ""
		}()
	}
	thaw := freeze(t, e.Pid())
	if err := touch(e.Dir + "/go"); err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		harness.Eventually(t, "the output", func() bool { return exists(fmt.Sprint(e.Dir, "/done", i)) })
	}
	harness.Eventually(t, "the ends", func() bool { return !anyCommand("/gate/go") })
	thaw()
	for range cap(waits) {
		if failed := <-waits; failed != "" {
			t.Error(failed)
		}
	}
	for i := range 8 {
		name := fmt.Sprint("box", i)
		awaitState(t, e, name, fmt.Sprint("exited ", 20+i))
		lines := strings.Split(e.OK("logs", name), "\n")
		if len(lines) != 3000 || lines[2999] != "line 2999 of a container" {
			t.Errorf("%s logged %d lines, at last %q", name, len(lines), lines[len(lines)-1])
		}
	}
	harness.Eventually(t, "the removal of --rm", func() bool { return !strings.Contains(e.OK("ps", "-a", "--format", "{{.Names}}"), "gone") })
}

// A client of exec -i that is killed before its program runs leaves no program
// behind that waits for input.
func TestExecClientKilledBeforeStart(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	e.OK("run", "-d", "--name", "box", "-v", e.Dir+":/gate", "busybox", "sleep", "1000")
	const many = 4
	for i := range many {
		_, answer, err := e.Do("POST", "/containers/box/exec", fmt.Sprintf(`{"AttachStdin":true,"AttachStdout":true,"Cmd":["sh","-c","cat; touch /gate/ended%d"]}`, i))
		id := strings.Split(answer, `"`)
		if err != nil || len(id) < 4 {
			t.Fatalf("%s %v", answer, err)
		}
		thaw := freeze(t, e.ShimPid())
		conn, err := net.Dial("unix", e.Socket)
		if err != nil {
			t.Fatal(err)
		}
		const body = `{"Detach":false,"Tty":false}`
		if _, err := fmt.Fprintf(conn, "POST /exec/%s/start HTTP/1.1\r\nHost: berth\r\nContent-Type: application/json\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: %d\r\n\r\n%s", id[3], len(body), body); err != nil {
			t.Fatal(err)
		}
		pause(i * 20)
		conn.Close()
		thaw()
		harness.Eventually(t, "the exec to run or to be given up", func() bool {
			_, answer, err := e.Do("GET", "/exec/"+id[3]+"/json", "")
			return err == nil && strings.Contains(answer, `"Running":false`)
		})
	}
	harness.Eventually(t, "the execs to end", func() bool { return !anyCommand("touch /gate/ended") })
}
