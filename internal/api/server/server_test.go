package server

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/opencontainers/go-digest"

	"github.com/berth-containers/berth/internal/api/version"
	"github.com/berth-containers/berth/internal/engine"
	"github.com/berth-containers/berth/internal/image"
	"github.com/berth-containers/berth/internal/logs"
)

// ask sends one request, and returns "status body".
func ask(t *testing.T, socket, method, path, body string) string {
	t.Helper()
	lines := []string{method + " " + path + " HTTP/1.1", "Content-Type: application/json", fmt.Sprintf("Content-Length: %d", len(body)), "", body}
	resp, _ := call(t, dial(t, socket), lines...)
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, text))
}

func TestAnswers(t *testing.T) {
	conflict := errdefs.ErrConflict.WithMessage(`Conflict. The container name "/a" is already in use`)
	e := &fakeEngine{
		create: func(o engine.CreateOptions) (string, []string, error) {
			if o.Name == "a" {
				return "", nil, conflict
			}
			return "c1", nil, nil
		},
		do: func(verb, ref string) error {
			switch ref {
			case "none":
				return errdefs.ErrNotFound.WithMessage("No such container: none")
			case "same":
				return engine.ErrNotModified
			case "broken":
				return errors.New("disk is on fire")
			case "panic":
				panic("a fault")
			}
			return nil
		},
	}
	_, socket := serve(t, e, &fakeImages{})
	for _, row := range []struct{ method, path, body, want string }{
		{"GET", "/containers/json", "", "200 []"},
		{"GET", "/v1.24/containers/json", "", "200 []"},
		{"GET", "/images/json", "", "200 []"},
		{"POST", "/containers/create", `{"Image":"busybox"}`, `201 {"Id":"c1","Warnings":[]}`},
		{"POST", "/containers/create?name=a", `{"Image":"busybox"}`, `409 {"message":"Conflict. The container name \"/a\" is already in use"}`},
		{"POST", "/containers/create", `{}`, `400 {"message":"config cannot be empty in order to create a container"}`},
		{"POST", "/containers/create", `{`, `400 {"message":"invalid JSON: unexpected EOF"}`},
		{"POST", "/containers/create", ``, `400 {"message":"invalid JSON: got EOF while reading request body"}`},
		{"POST", "/containers/ok/start", "", "204"},
		{"POST", "/containers/same/start", "", "304"},
		{"POST", "/containers/none/start", "", `404 {"message":"No such container: none"}`},
		{"POST", "/containers/broken/start", "", `500 {"message":"disk is on fire"}`},
		{"POST", "/containers/ok/stop?t=x", "", `400 {"message":"parameter t: \"x\" is not a whole number"}`},
		{"POST", "/containers/ok/stop?t=-1", "", "204"},
		{"DELETE", "/containers/ok?force=1", "", "204"},
		{"POST", "/containers/ok/resize?h=a&w=1", "", `400 {"message":"parameter h: \"a\" is not a size from 0 to 65535"}`},
		{"GET", "/containers/ok/logs", "", `400 {"message":"Bad parameters: you must choose at least one stream"}`},
		{"POST", "/containers/ok/attach?detachKeys=ctrl-1", "", `400 {"message":"Invalid detach keys (ctrl-1) provided: \"ctrl-1\" is neither a character nor ctrl- and one of a-z @ [ \\ ] ^ _"}`},
		{"GET", "/containers/json?filters=x", "", `400 {"message":"invalid filter: invalid character 'x' looking for beginning of value"}`},
		{"GET", "/v1.23/containers/json", "", `400 {"message":"client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version"}`},
		{"GET", "/v1.99/containers/json", "", `400 {"message":"client version 1.99 is too new. Maximum supported API version is ` + version.Newest + `"}`},
		{"GET", "/nosuch", "", `404 {"message":"page not found"}`},
		{"GET", "/nodes", "", `503 {"message":"This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again."}`},
		{"POST", "/swarm/init", "", `501 {"message":"SwarmInit (POST /swarm/init) is not supported by Berth yet"}`},
		{"GET", "/images/search?term=x&limit=101", "", `400 {"message":"limit 101 is outside the range of [1, 100]"}`},
		{"GET", "/images/search?filters=%7B%22stars%22%3A%5B%22x%22%5D%7D", "", `400 {"message":"invalid filter 'stars=x': it is a number"}`},
		{"GET", "/plugins", "", `200 []`},
		{"GET", "/plugins/a/b:c/json", "", `404 {"message":"plugin \"a/b:c\" not found"}`},
		{"POST", "/swarm/leave", "", `503 {"message":"This node is not part of a swarm"}`},
		{"PUT", "/volumes/v?version=1", "", `503 {"message":"volume update only valid for cluster volumes, but swarm is unavailable"}`},
		{"POST", "/containers/panic/start", "", `500 {"message":"internal error of the engine: its log has the details"}`},
	} {
		if got := ask(t, socket, row.method, row.path, row.body); got != row.want {
			t.Errorf("%s %s %s:\n%s\nwant %s", row.method, row.path, row.body, got, row.want)
		}
	}
}

func TestConnectionSurvivesAPanic(t *testing.T) {
	_, socket := serve(t, &fakeEngine{do: func(_, ref string) error { panic(ref) }}, nil)
	conn := dial(t, socket)
	for range 2 {
		resp, _ := call(t, conn, "POST /containers/a/start HTTP/1.1", "Content-Length: 0")
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 500 {
			t.Fatal(resp.Status, err)
		}
	}
}

func TestStatuses(t *testing.T) {
	for _, row := range []struct {
		err  error
		want int
	}{
		{errdefs.ErrInvalidArgument, 400}, {errdefs.ErrNotFound, 404}, {errdefs.ErrAlreadyExists, 409}, {errdefs.ErrConflict, 409},
		{errdefs.ErrFailedPrecondition, 409}, {errdefs.ErrPermissionDenied, 403}, {errdefs.ErrUnauthenticated, 401},
		{errdefs.ErrNotImplemented, 501}, {errdefs.ErrUnavailable, 503}, {errdefs.ErrNotModified, 304}, {io.EOF, 500},
		{fmt.Errorf("start: %w", errdefs.ErrNotFound.WithMessage("x")), 404},
	} {
		if got := statusOf(row.err); got != row.want {
			t.Errorf("%v: %d, want %d", row.err, got, row.want)
		}
	}
}

func TestPing(t *testing.T) {
	_, socket := serve(t, nil, nil)
	for _, method := range []string{"GET", "HEAD"} {
		conn := dial(t, socket)
		if _, err := io.WriteString(conn, method+" /_ping HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
		if err != nil {
			t.Fatal(err)
		}
		h := resp.Header
		got := fmt.Sprint(resp.StatusCode, h["Api-Version"], h["Builder-Version"], h["Docker-Experimental"], h["Ostype"], h["Server"])
		if want := "200 [" + version.Newest + "] [2] [false] [linux] [Berth/1.2.3 (linux)]"; got != want {
			t.Errorf("%s: %s, want %s", method, got, want)
		}
	}
}

func TestPull(t *testing.T) {
	all := []image.Image{{ID: digest.FromString("x")}}
	denied := errdefs.ErrNotFound.WithMessage("pull access denied for x")
	for _, row := range []struct {
		name string
		pull func(image.Progress) error
		want string
	}{
		{"refused at once", func(tell image.Progress) error {
			tell(image.Event{ID: "latest", Status: "Pulling from x"})
			return denied
		}, `404 {"message":"pull access denied for x"}`},
		{"fails later", func(tell image.Progress) error {
			tell(image.Event{ID: "latest", Status: "Pulling from x"})
			tell(image.Event{ID: "abc", Status: "Downloading", Current: 1, Total: 2})
			return errors.New("it broke")
		}, `200 {"status":"Pulling from x","id":"latest"}` + "\r\n" +
			`{"status":"Downloading","progressDetail":{"current":1,"total":2},"id":"abc"}` + "\r\n" +
			`{"errorDetail":{"code":500,"message":"it broke"},"error":"it broke"}`},
		{"goes well", func(tell image.Progress) error {
			tell(image.Event{Status: "Status: done"})
			return nil
		}, `200 {"status":"Status: done"}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, socket := serve(t, &fakeEngine{}, &fakeImages{all: all, pull: row.pull})
			if got := ask(t, socket, "POST", "/images/create?fromImage=x&tag=latest", ""); got != row.want {
				t.Errorf("%s\nwant %s", got, row.want)
			}
		})
	}
}

func TestBadRegistryAuth(t *testing.T) {
	_, socket := serve(t, &fakeEngine{}, &fakeImages{})
	resp, _ := call(t, dial(t, socket), "POST /images/create?fromImage=x HTTP/1.1", "Content-Length: 0", "X-Registry-Auth: "+base64.URLEncoding.EncodeToString([]byte("x")))
	if resp.StatusCode != 400 {
		t.Error(resp.Status)
	}
}

func TestLogs(t *testing.T) {
	at := time.Unix(1700000000, 5)
	entries := []logs.Message{{Stream: logs.Stdout, Time: at, Line: []byte("part")}, {Stream: logs.Stdout, Time: at, Line: []byte(" end\n")}, {Stream: logs.Stderr, Time: at, Line: []byte("e\n")}}
	var asked engine.LogsOptions
	e := &fakeEngine{logs: func(_ context.Context, o engine.LogsOptions, yield func(logs.Message) error) error {
		asked = o
		for _, m := range entries {
			if err := yield(m); err != nil {
				return err
			}
		}
		return nil
	}}
	_, socket := serve(t, e, nil)
	const stamp = "2023-11-14T22:13:20.000000005Z "
	for _, row := range []struct {
		query, want string
		tty         bool
		tail        int
	}{
		{"stdout=1&stderr=1", "200 \x01\x00\x00\x00\x00\x00\x00\x04part\x01\x00\x00\x00\x00\x00\x00\x05 end\n\x02\x00\x00\x00\x00\x00\x00\x02e", false, -1},
		{"stdout=1&follow=1&tail=2", "200 part end\ne", true, 2},
		{"stdout=1&timestamps=1&tail=all", "200 " + stamp + "part end\n" + stamp + "e", true, -1},
	} {
		e.tty = row.tty
		if got := ask(t, socket, "GET", "/containers/c/logs?"+row.query, ""); got != row.want || asked.Tail != row.tail {
			t.Errorf("%s: %q, want %q (tail %d)", row.query, got, row.want, asked.Tail)
		}
	}
}

func TestWaitAnswersBeforeTheEnd(t *testing.T) {
	e := &fakeEngine{wait: make(chan container.WaitResponse, 1)}
	_, socket := serve(t, e, nil)
	resp, _ := call(t, dial(t, socket), "POST /containers/c/wait?condition=next-exit HTTP/1.1", "Content-Length: 0")
	if resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	e.wait <- container.WaitResponse{StatusCode: 7}
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != `{"StatusCode":7}`+"\n" {
		t.Errorf("%s %v", body, err)
	}
}

// A handler that streams ends when its client goes, though nothing is sent.
func TestVanishedListener(t *testing.T) {
	ended := make(chan struct{})
	untilGone := func(ctx context.Context) error {
		<-ctx.Done()
		ended <- struct{}{}
		return ctx.Err()
	}
	e := &fakeEngine{
		events: func(ctx context.Context, _ func(events.Message) error) error { return untilGone(ctx) },
		logs: func(ctx context.Context, _ engine.LogsOptions, _ func(logs.Message) error) error {
			return untilGone(ctx)
		},
	}
	_, socket := serve(t, e, nil)
	for _, path := range []string{"/events", "/containers/c/logs?follow=1&stdout=1"} {
		conn := dial(t, socket)
		if resp, _ := call(t, conn, "GET "+path+" HTTP/1.1"); resp.StatusCode != 200 {
			t.Fatal(resp.Status)
		}
		conn.Close()
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatal(path, "goes on")
		}
	}
}

func TestEventsByVersion(t *testing.T) {
	e := &fakeEngine{events: func(_ context.Context, yield func(events.Message) error) error {
		return yield(events.Message{Type: "image", Action: "pull", Actor: events.Actor{ID: "x"}})
	}}
	_, socket := serve(t, e, nil)
	for path, want := range map[string]string{
		"/v1.51/events": `200 {"Action":"pull","Actor":{"Attributes":null,"ID":"x"},"Type":"image","id":"x","status":"pull"}`,
		"/events":       `200 {"Type":"image","Action":"pull","Actor":{"ID":"x","Attributes":null}}`,
	} {
		if got := ask(t, socket, "GET", path, ""); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
}
