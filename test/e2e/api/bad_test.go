package api

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/berth-containers/berth/test/harness"
)

// bad are requests that no client should send, and what they are answered. Status
// 0 is a client that goes away before it is.
var bad = []struct {
	name, head, body string
	status           int
}{
	{"malformed JSON", "POST /containers/create", `{"Image":`, 400},
	{"JSON of the wrong kind", "POST /containers/create", `[1,2]`, 400},
	{"a field of the wrong type", "POST /containers/create", `{"Image":"busybox","Env":7}`, 400},
	{"deep JSON", "POST /containers/create", strings.Repeat("[", 20000), 400},
	{"two values", "POST /containers/create", `{"Image":"busybox"}{}`, 400},
	{"no body", "POST /containers/create", ``, 400},
	{"a type that is not JSON", "POST /containers/create?TEXT", `Image=busybox`, 400},
	{"an image that is not here", "POST /containers/create", `{"Image":"nosuch"}`, 404},
	{"no image", "POST /containers/create", `{"Cmd":["a"]}`, 400},
	{"an odd name", "POST /containers/create?name=%00%2f..%2f", `{"Image":"busybox"}`, 400},
	{"contradicting options", "POST /containers/create", `{"Image":"busybox","HostConfig":{"AutoRemove":true,"RestartPolicy":{"Name":"always"}}}`, 400},
	{"a port that is none", "POST /containers/create", `{"Image":"busybox","HostConfig":{"PortBindings":{"99999/tcp":[{}]}}}`, 400},
	{"a bind of nothing", "POST /containers/create", `{"Image":"busybox","HostConfig":{"Mounts":[{"Type":"bind","Source":"/no/such","Target":"/x"}]}}`, 400},
	{"a mount's wrong type", "POST /containers/create", `{"Image":"busybox","HostConfig":{"Mounts":[{"Type":"odd","Target":"/x"}]}}`, 400},
	{"a limit below the least", "POST /containers/create", `{"Image":"busybox","HostConfig":{"Memory":5}}`, 400},
	{"a network that is not here", "POST /containers/create", `{"Image":"busybox","HostConfig":{"NetworkMode":"container:nosuch"}}`, 400},
	{"filters that are none", "GET /containers/json?filters=%7B", "", 400},
	{"a filter's wrong value", "GET /containers/json?filters=%7B%22status%22%3A%5B%22odd%22%5D%7D", "", 400},
	{"a number that is none", "GET /containers/json?limit=x", "", 400},
	{"no such container", "POST /containers/nosuch/start", "", 404},
	{"a path that is none", "GET /containers/%2e%2e/%2e%2e/json", "", 404},
	{"a method that is none", "PATCH /containers/json", "", 404},
	{"exec without a command", "POST /containers/there/exec", `{}`, 400},
	{"exec in one that does not run", "POST /containers/there/exec", `{"Cmd":["x"]}`, 409},
	{"a size that is none", "POST /containers/there/resize?h=-1&w=99999999", "", 400},
	{"an archive that is none", "PUT /containers/there/archive?path=/tmp&TAR", "not a tar", 400},
	{"an image that is none", "POST /images/load?TAR", "not a tar", 400},
	{"a reference that is none", "POST /images/create?fromImage=UPPER%20CASE", "", 400},
	{"a volume's odd name", "POST /volumes/create", `{"Name":"../../etc"}`, 400},
	{"a subnet that is none", "POST /networks/create", `{"Name":"n","IPAM":{"Config":[{"Subnet":"x"}]}}`, 400},
	{"credentials that are none", "POST /auth", `{"username":5}`, 400},
	{"half a header", "GET /containers/js", "", 0},
	{"half a body", "POST /containers/create?HALF", `{"Image":"busybox","Cmd":[`, 0},
	{"attach, and away", "POST /containers/there/attach?stream=1&stdout=1&stdin=1&UPGRADE", "", 0},
	{"events, and away", "GET /events", "", 0},
	{"wait, and away", "POST /containers/there/wait?condition=next-exit", "", 0},
	{"pull, and away", "POST /images/create?fromImage=127.0.0.1:1/x&tag=y", "", 0},
	{"a websocket, and away", "GET /containers/there/attach/ws?stream=1&stdout=1&SOCKET", "", 0},
}

// counts are what may leak.
type counts struct{ NGoroutines, NFd, Containers, Images int }

func count(t *testing.T, e *harness.Engine) counts {
	t.Helper()
	_, answer, err := e.Do("GET", "/info", "")
	if err != nil {
		t.Fatal(err)
	}
	var c counts
	if err := json.Unmarshal([]byte(answer), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// Ten thousand bad requests get the right answers and leave nothing: goroutines,
// descriptors and records are those of before.
func TestBadRequestsLeaveNothing(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	e.OK("create", "--name", "there", "busybox", "cat")
	ask := func(i int) {
		b := bad[i%len(bad)]
		if status, err := sendBad(e.Socket, b.head, b.body, b.status == 0); err != nil || status != b.status {
			t.Errorf("%s: %d %v; want %d", b.name, status, err, b.status)
		}
	}
	for i := range bad {
		ask(i)
	}
	if t.Failed() {
		return
	}
	before := count(t, e)
	const clients, requests = 8, 10_000
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			for i := range requests / clients {
				ask(i + c*5)
			}
		})
	}
	all.Wait()
	const slack = 16 // what is made ahead and kept for the next
	var after counts
	if !harness.Await(func() bool {
		after = count(t, e)
		return after.NGoroutines <= before.NGoroutines+slack && after.NFd <= before.NFd+slack
	}) {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if after.Containers != before.Containers || after.Images != before.Images {
		t.Errorf("records: before %+v, after %+v", before, after)
	}
	if got := e.OK("volume", "ls", "-q") + e.OK("network", "ls", "-q", "-f", "type=custom"); got != "" {
		t.Errorf("left behind: %s", got)
	}
}

// sendBad sends a request by hand. Words in capitals of its query say how.
func sendBad(socket, head, body string, vanish bool) (int, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		return 0, err
	}
	kind, length, more := "application/json", len(body), ""
	switch {
	case strings.Contains(head, "TEXT"):
		kind = "application/x-www-form-urlencoded"
	case strings.Contains(head, "TAR"):
		kind = "application/x-tar"
	case strings.Contains(head, "HALF"):
		length += 1000
	case strings.Contains(head, "UPGRADE"):
		more = "Connection: Upgrade\r\nUpgrade: tcp\r\n"
	case strings.Contains(head, "SOCKET"):
		more = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	}
	text := fmt.Sprintf("%s HTTP/1.1\r\nHost: x\r\n%sContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", head, more, kind, length, body)
	if strings.HasSuffix(head, "/js") {
		text = head
	}
	if _, err := io.WriteString(conn, text); err != nil {
		return 0, err
	}
	if vanish {
		return 0, nil
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && !strings.Contains(string(answer), `"message"`) {
		err = fmt.Errorf("it is told as %q", answer)
	}
	return resp.StatusCode, err
}

// A body of 100 MB where a small one belongs is refused, and a client that
// trickles its body holds up nobody.
func TestBodiesWithoutMeasure(t *testing.T) {
	e := harness.New(t)
	for _, path := range []string{"/containers/create", "/volumes/create", "/networks/create", "/auth"} {
		status, answer, err := e.Send("POST", path, "application/json", io.MultiReader(strings.NewReader(`{"Name":"`), io.LimitReader(spaces{}, 100<<20)))
		broken := errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) // before the answer was read
		if status != 400 && !broken {
			t.Errorf("%s: %d %.200s %v", path, status, answer, err)
		}
	}
	slow, err := net.Dial("unix", e.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fmt.Fprint(slow, "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
	for range 20 {
		if status, _, err := e.Do("GET", "/_ping", ""); err != nil || status != 200 {
			t.Fatal(status, err)
		}
		fmt.Fprint(slow, " ")
	}
}

// spaces are without end.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
