package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-containers/berth/test/harness"
)

// half opens a connection, sends what is given, and reads nothing.
func half(t *testing.T, e *harness.Engine, request string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", e.Socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return conn
}

const attachTo = "POST /containers/%s/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\nHost: x\r\nUpgrade: tcp\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n"

func descriptors(t *testing.T, pid int) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// A client that attaches and reads nothing does not hold back the end of a
// container that writes without a pause, and gets the rest when it reads.
func TestStalledClientDelaysNoEnd(t *testing.T) {
	e := engine(t)
	e.OK("run", "-d", "--name", "talk", "busybox", "sh", "-c", "while :; do echo talk; done")
	conn := half(t, e, fmt.Sprintf(attachTo, "talk"))
	shim := e.ShimPid()
	e.OK("kill", "talk") // would fail: "was killed but has not ended"
	if got := e.OK("inspect", "-f", "{{.State.Status}}", "talk"); got != "exited" {
		t.Errorf("status %s", got)
	}
	if err := conn.SetReadDeadline(time.Now().Add(harness.Patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Errorf("the stream has no end: %v", err)
	}
	conn.Close()
	e.OK("rm", "talk")
	if shim != e.ShimPid() {
		t.Error("the shim is another one")
	}
}

// Clients that vanish in the middle of anything leave nothing in the engine.
func TestVanishingClients(t *testing.T) {
	e := engine(t)
	e.OK("run", "-d", "-i", "--name", "victim", "busybox", "sh", "-c", "while :; do echo line; sleep 0.1; done")
	e.OK("exec", "victim", "true")
	engineFDs, shimFDs := descriptors(t, e.Pid()), descriptors(t, e.ShimPid())
	requests := []string{
		"GET /containers/victim/logs?follow=1&stdout=1 HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /events HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /containers/victim/wait HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
		fmt.Sprintf(attachTo, "victim"),
		"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{\"Im",
		"GET /_pi",
		"POST /images/load HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
	}
	for range 3 {
		var conns []net.Conn
		for i := range 140 {
			conns = append(conns, half(t, e, requests[i%len(requests)]))
		}
		if status, _, err := e.Do("GET", "/_ping", ""); err != nil || status != 200 {
			t.Errorf("ping beside them: %d %v", status, err)
		}
		for _, c := range conns {
			c.Close()
		}
	}
	const slack = 12 // sandboxes made ahead, connections kept
	harness.Eventually(t, "the descriptors to go", func() bool {
		return descriptors(t, e.Pid()) <= engineFDs+slack && descriptors(t, e.ShimPid()) <= shimFDs+slack
	})
}

// What is sent to a program that does not read stays with who sends it.
func TestDeafProgram(t *testing.T) {
	e := engine(t)
	e.OK("run", "-d", "-i", "--name", "deaf", "busybox", "sleep", "1000")
	conn := half(t, e, fmt.Sprintf(attachTo, "deaf"))
	if err := conn.SetWriteDeadline(time.Now().Add(2 * time.Second)); err != nil {
		t.Fatal(err)
	}
	chunk := make([]byte, 1<<20)
	sent := 0
	for sent < 100<<20 {
		n, err := conn.Write(chunk)
		sent += n
		if err != nil {
			break
		}
	}
	if sent > 16<<20 {
		t.Errorf("%d bytes were taken for a program that reads none", sent)
	}
	e.OK("rm", "-f", "deaf")
}

// Verbs on a container that is paused, or stopped by a signal.
func TestPausedContainerObeys(t *testing.T) {
	e := engine(t)
	for _, args := range [][]string{{"stop", "-t", "1"}, {"kill"}, {"rm", "-f"}, {"restart", "-t", "1"}} {
		e.OK("run", "-d", "--name", "frozen", "busybox", "sleep", "1000")
		e.OK("pause", "frozen")
		e.OK(append(args, "frozen")...)
		e.Berth("rm", "-f", "frozen")
	}
	e.OK("run", "-d", "--name", "frozen", "busybox", "sleep", "1000")
	e.OK("pause", "frozen")
	if r := e.Berth("exec", "frozen", "true"); r.Code == 0 || !strings.Contains(r.Err, "paused") {
		t.Errorf("exec in a paused container: %+v", r)
	}
}

// Twenty clients do everything to one container at once: whatever they are
// answered, it is never the engine's fault, and nothing hangs.
func TestCrowd(t *testing.T) {
	e := engine(t)
	const body = `{"Image":"busybox","Cmd":["sleep","1000"],"HostConfig":{"NetworkMode":"none"}}`
	verbs := [][3]string{
		{"POST", "/containers/create?name=one", body}, {"POST", "/containers/one/start"}, {"POST", "/containers/one/stop?t=0"},
		{"POST", "/containers/one/start"}, {"DELETE", "/containers/one?force=1"}, {"POST", "/containers/one/rename?name=two"},
		{"POST", "/containers/two/rename?name=one"}, {"POST", "/containers/one/kill"}, {"POST", "/containers/one/restart?t=0"},
		{"POST", "/containers/one/pause"}, {"POST", "/containers/one/unpause"}, {"GET", "/containers/one/json"}, {"DELETE", "/containers/two"},
	}
	const clients, rounds = 20, 60
	var crowd sync.WaitGroup
	for c := range clients {
		crowd.Go(func() {
			for i := range rounds {
				v := verbs[(c*7+i*5)%len(verbs)]
				status, answer, err := e.Do(v[0], v[1], v[2])
				if err != nil || status >= 500 {
					t.Errorf("%s %s: %d %s %v", v[0], v[1], status, answer, err)
				}
			}
		})
	}
	crowd.Wait()
	for _, id := range strings.Fields(e.OK("ps", "-aq")) {
		e.OK("rm", "-f", id)
	}
}
