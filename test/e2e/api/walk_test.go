package api

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/berth-containers/berth/test/harness"
	"github.com/berth-containers/berth/test/harness/swagger"
)

// versions are the oldest, two that clients of distributions speak, and the newest.
var versions = []string{"1.24", "1.41", "1.44", "1.56"}

// step is one request; NAME in it is of the version's own, ID what the last
// answer said under "Id" or "ID".
type step struct {
	method, path, body string
	want               int
}

// TestEveryOperation walks through the API as the versions have it.
func TestEveryOperation(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	registry := harness.Registry(t)
	spec, err := harness.Swagger().Newest()
	if err != nil {
		t.Fatal(err)
	}
	done := operations(t)
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			w := walk{t: t, e: e, version: version, asked: map[string]bool{}, spec: spec,
				names: strings.NewReplacer("NAME", "walk"+strings.ReplaceAll(version, ".", ""), "REGISTRY", registry)}
			for _, s := range steps {
				w.take(s)
			}
			w.tarballs()
			w.streams()
			for _, s := range ending {
				w.take(s)
			}
			for _, o := range outside {
				w.take(o)
			}
			for operation := range done {
				if !w.asked[operation] && !elsewhere[operation] {
					t.Errorf("%s was not asked for", operation)
				}
			}
		})
	}
}

// elsewhere are the operations that tests of their own walk through.
var elsewhere = map[string]bool{"ImageBuild": true, "BuildCancel": true, "Session": true, "GRPC": true}

// operations are those that the committed table says are done, of the swagger.
func operations(t *testing.T) map[string]bool {
	t.Helper()
	table, err := os.ReadFile("../../../internal/api/server/testdata/routes.txt")
	if err != nil {
		t.Fatal(err)
	}
	done := map[string]bool{}
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); f[0] == "done" && !strings.HasPrefix(f[3], "Berth") {
			done[f[3]] = true
		}
	}
	return done
}

type walk struct {
	t       *testing.T
	e       *harness.Engine
	version string
	spec    *swagger.Spec
	asked   map[string]bool
	names   *strings.Replacer
	id      string
}

func (w *walk) take(s step) string {
	w.t.Helper()
	path := strings.ReplaceAll(w.names.Replace(s.path), "ID", w.id)
	status, answer, err := w.e.Do(s.method, "/v"+w.version+path, w.names.Replace(s.body))
	if err != nil || status != s.want {
		w.t.Errorf("%s %s %s: %d %.300s %v; want %d", s.method, path, s.body, status, answer, err, s.want)
	}
	if o, ok := w.spec.Find(s.method, strings.SplitN(path, "?", 2)[0]); ok && status < 400 {
		w.asked[o.ID] = true
	}
	var made struct{ ID string }
	if json.Unmarshal([]byte(answer), &made) == nil && made.ID != "" {
		w.id = made.ID
	}
	return answer
}

var steps = []step{
	{"GET", "/_ping", "", 200}, {"HEAD", "/_ping", "", 200}, {"GET", "/version", "", 200}, {"GET", "/info", "", 200},
	{"GET", "/system/df", "", 200}, {"GET", "/events?until=1", "", 200},
	{"GET", "/images/json?all=1", "", 200}, {"GET", "/images/busybox/json", "", 200}, {"GET", "/images/busybox/history", "", 200},
	{"GET", "/images/nosuch/json", "", 404}, {"GET", "/images/search?term=REGISTRY/x", "", 200}, {"GET", "/images/busybox/attestations", "", 200},
	{"POST", "/images/busybox/tag?repo=REGISTRY/NAME&tag=1", "", 201}, {"POST", "/images/REGISTRY/NAME/push?tag=1", "", 200},
	{"POST", "/images/create?fromImage=REGISTRY/NAME&tag=1", "", 200}, {"GET", "/distribution/REGISTRY/NAME:1/json", "", 200},
	{"POST", "/auth", `{"username":"u","password":"p","serveraddress":"http://REGISTRY"}`, 200},
	{"GET", "/images/get?names=REGISTRY/NAME:1", "", 200}, {"GET", "/images/REGISTRY/NAME:1/get", "", 200},
	{"DELETE", "/images/REGISTRY/NAME:1", "", 200},
	{"POST", "/volumes/create", `{"Name":"NAME","Labels":{"a":"b"}}`, 201}, {"GET", "/volumes", "", 200}, {"GET", "/volumes/NAME", "", 200},
	{"POST", "/networks/create", `{"Name":"NAME"}`, 201}, {"GET", "/networks", "", 200}, {"GET", "/networks/NAME", "", 200},
	{"POST", "/containers/create?name=NAME", `{"Image":"busybox","Cmd":["sh","-c","echo out; exec sleep 1000"],"OpenStdin":true,
		"Labels":{"a":"b"},"HostConfig":{"Binds":["NAME:/v"],"RestartPolicy":{"Name":"no"}},"Healthcheck":{"Test":["CMD","true"]}}`, 201},
	{"POST", "/containers/create?name=NAME", `{"Image":"busybox"}`, 409}, {"POST", "/containers/create", `{"Image":"nosuch"}`, 404},
	{"POST", "/networks/NAME/connect", `{"Container":"NAME"}`, 200},
	{"POST", "/containers/NAME/start", "", 204}, {"POST", "/containers/NAME/start", "", 304},
	{"GET", "/containers/json?all=1&size=1", "", 200}, {"GET", "/containers/NAME/json?size=1", "", 200}, {"GET", "/containers/NAME/top", "", 200},
	{"GET", "/containers/NAME/stats?stream=0", "", 200}, {"GET", "/containers/NAME/changes", "", 200}, {"GET", "/containers/NAME/logs?stdout=1", "", 200},
	{"POST", "/containers/NAME/resize?h=10&w=10", "", 200},
	{"POST", "/containers/NAME/update", `{"Memory":67108864,"MemorySwap":134217728}`, 200},
	{"POST", "/containers/NAME/pause", "", 204}, {"POST", "/containers/NAME/unpause", "", 204},
	{"POST", "/containers/NAME/exec", `{"Cmd":["cat"],"AttachStdin":true,"Tty":true}`, 201}, {"GET", "/exec/ID/json", "", 200},
	{"POST", "/exec/ID/start", `{"Detach":true}`, 200}, {"POST", "/exec/ID/resize?h=5&w=5", "", 200}, {"GET", "/exec/nosuch/json", "", 404},
	{"POST", "/containers/NAME/rename?name=NAMEx", "", 204}, {"POST", "/containers/NAMEx/rename?name=NAME", "", 204},
	{"POST", "/commit?container=NAME&repo=NAME&tag=2", `{}`, 201},
	{"POST", "/networks/NAME/disconnect", `{"Container":"NAME"}`, 200}, {"DELETE", "/networks/NAME", "", 204},
	{"POST", "/containers/NAME/restart?t=0", "", 204}, {"POST", "/containers/NAME/kill?signal=CONT", "", 204},
	{"GET", "/containers/NAME/nosuch", "", 404},
}

var ending = []step{
	{"POST", "/containers/NAME/stop?t=0", "", 204}, {"POST", "/containers/NAME/stop", "", 304}, {"POST", "/containers/NAME/wait", "", 200},
	{"DELETE", "/containers/NAME", "", 204}, {"DELETE", "/containers/NAME", "", 404}, {"DELETE", "/images/NAME:2", "", 200},
	{"DELETE", "/volumes/NAME", "", 204}, {"DELETE", "/volumes/NAME", "", 404},
	{"POST", "/containers/prune", "", 200}, {"POST", "/networks/prune", "", 200}, {"POST", "/volumes/prune", "", 200},
	{"POST", "/images/prune", "", 200}, {"POST", "/build/prune", "", 200},
}

// outside is what a node outside of a swarm answers, and one without plugins.
var outside = []step{
	{"GET", "/plugins", "", 200}, {"GET", "/plugins/x/json", "", 404}, {"DELETE", "/plugins/x", "", 404}, {"POST", "/plugins/x/enable", "", 404},
	{"GET", "/swarm", "", 503}, {"POST", "/swarm/leave", "", 503}, {"GET", "/nodes", "", 503}, {"GET", "/services", "", 503}, {"GET", "/tasks", "", 503},
	{"GET", "/secrets", "", 503}, {"GET", "/configs", "", 503}, {"POST", "/services/create", `{}`, 503}, {"GET", "/tasks/x/logs", "", 503},
}

// tarballs goes through what has a tar as its body or answer.
func (w *walk) tarballs() {
	w.t.Helper()
	content := harness.TarGzip(w.t, harness.Entry{Header: tar.Header{Name: "file", Mode: 0o644}, Content: []byte("x\n")})
	for _, s := range []struct {
		step
		tar []byte
	}{
		{step{"PUT", "/containers/NAME/archive?path=/tmp", "", 200}, content},
		{step{"HEAD", "/containers/NAME/archive?path=/tmp/file", "", 200}, nil},
		{step{"GET", "/containers/NAME/archive?path=/tmp/file", "", 200}, nil},
		{step{"GET", "/containers/NAME/archive?path=/nosuch", "", 404}, nil},
		{step{"GET", "/containers/NAME/export", "", 200}, nil},
		{step{"POST", "/images/create?fromSrc=-&repo=NAME&tag=imported", "", 200}, content},
		{step{"POST", "/images/load", "", 200}, harness.Archive(w.t, w.names.Replace("NAME:loaded"), content)},
		{step{"POST", "/images/load", "", 400}, content},
		{step{"DELETE", "/images/NAME:imported", "", 200}, nil},
		{step{"DELETE", "/images/NAME:loaded", "", 200}, nil},
	} {
		path := "/v" + w.version + w.names.Replace(s.path)
		status, answer, err := w.e.Send(s.method, path, "application/x-tar", bytes.NewReader(s.tar))
		if err != nil || status != s.want {
			w.t.Errorf("%s %s: %d %.200s %v; want %d", s.method, path, status, answer, err, s.want)
		}
		if o, ok := w.spec.Find(s.method, strings.SplitN(path, "?", 2)[0]); ok && status < 400 {
			w.asked[o.ID] = true
		}
	}
}

// streams opens what takes the connection over.
func (w *walk) streams() {
	w.t.Helper()
	name := w.names.Replace("NAME")
	for _, s := range []struct{ operation, request, want string }{
		{"ContainerAttach", "POST /v%s/containers/" + name + "/attach?stream=1&stdout=1 HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n", "101 UPGRADED"},
		{"ContainerAttachWebsocket", "GET /v%s/containers/" + name + "/attach/ws?stream=1&stdout=1 HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "101 Switching Protocols"},
	} {
		conn, err := net.Dial("unix", w.e.Socket)
		if err != nil {
			w.t.Fatal(err)
		}
		fmt.Fprintf(conn, s.request+"Host: x\r\nContent-Length: 0\r\n\r\n", w.version)
		head := make([]byte, 64)
		if _, err := io.ReadAtLeast(conn, head, 40); err != nil || !strings.Contains(string(head), s.want) {
			w.t.Errorf("%s: %q %v", s.operation, head, err)
		}
		conn.Close()
		w.asked[s.operation] = true
	}
}

// Outside of the versions everything is refused in Docker's words.
func TestVersionsOutside(t *testing.T) {
	e := harness.New(t)
	for path, want := range map[string]string{
		"/v1.23/info": "client version 1.23 is too old. Minimum supported API version is 1.24",
		"/v1.99/info": "client version 1.99 is too new. Maximum supported API version is 1.56",
	} {
		status, answer, err := e.Do(http.MethodGet, path, "")
		if err != nil || status != 400 || !strings.Contains(answer, want) {
			t.Errorf("%s: %d %s %v", path, status, answer, err)
		}
	}
}
