package clients

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// project is the stack under one of the clients.
type project struct {
	t      *testing.T
	engine *harness.Engine
	dir    string
	client []string
}

// A stack of web server, application, database and cache, brought up, scaled,
// followed, found again after the engine was killed, and taken down by compose.
func TestStack(t *testing.T) {
	for _, tc := range []struct {
		name, program string
		flags         []string
	}{
		{"1.29", "docker-compose", nil},
		{"5", harness.Bin(t, "docker-compose"), []string{"-f", "compose.yaml", "-f", "configs.yaml"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := harness.New(t)
			e.Busybox()
			stackImages(t, e)
			p := &project{t, e, t.TempDir(), append([]string{tc.program, "-p", "shop"}, tc.flags...)}
			if err := os.CopyFS(p.dir, os.DirFS("testdata/stack")); err != nil {
				t.Fatal(err)
			}
			p.ok("up", "-d")
			p.visit(1)
			p.scale()
			p.isolated()
			e.Kill()
			e.Start()
			p.visit(p.hits() + 1)
			seen := p.hits()
			p.ok("down")
			p.ok("up", "-d")
			p.visit(seen + 1) // the volumes outlived the containers
			p.ok("down", "-v", "--remove-orphans")
			for _, left := range [][]string{{"ps", "-aq"}, {"volume", "ls", "-q"}, {"network", "ls", "-q", "--filter", "type=custom"}} {
				if out := e.DockerOK(left...); out != "" {
					t.Errorf("docker %v after down: %s", left, out)
				}
			}
		})
	}
}

func (p *project) command(args ...string) *exec.Cmd {
	cmd := p.engine.Command(p.client[0], append(append([]string{}, p.client[1:]...), args...)...)
	cmd.Dir = p.dir
	return cmd
}

func (p *project) ok(args ...string) string {
	p.t.Helper()
	var out, errs bytes.Buffer
	cmd := p.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		p.t.Fatalf("%s %v: %v\n%s%s", p.client[0], args, err, out.String(), errs.String())
	}
	return strings.TrimSpace(out.String())
}

// page asks the web server for one.
func (p *project) page(path string) (string, error) {
	answer, err := http.Get("http://" + p.ok("port", "web", "80") + path)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", answer.StatusCode, b)
	}
	return string(b), err
}

// visit expects to be visitor number n, in the cache and in the database.
func (p *project) visit(n int) {
	p.t.Helper()
	var page string
	var err error
	if !harness.Await(func() bool {
		page, err = p.page("/cgi-bin/page")
		return err == nil
	}) {
		p.t.Fatalf("no page: %v\n%s", err, p.ok("logs"))
	}
	if !strings.HasPrefix(page, fmt.Sprintf("hits %d rows %d from ", n, n)) {
		p.t.Errorf("visitor %d got: %s", n, page)
	}
}

// hits is how many have visited so far.
func (p *project) hits() (n int) {
	p.t.Helper()
	if _, err := fmt.Sscan(p.ok("exec", "-T", "cache", "redis-cli", "get", "hits"), &n); err != nil {
		p.t.Fatal(err)
	}
	return n
}

// scale has three of the application, who all get their share of the visits, and
// follows their logs meanwhile.
func (p *project) scale() {
	p.t.Helper()
	p.ok("up", "-d", "--scale", "app=3")
	follow := p.command("logs", "-f", "app")
	follow.Env = append(follow.Env, "PYTHONUNBUFFERED=1")
	out, err := follow.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := follow.Start(); err != nil {
		p.t.Fatal(err)
	}
	logged := make(chan bool, 1)
	go func() {
		found := false
		for s := bufio.NewScanner(out); s.Scan(); {
			if !found && strings.Contains(s.Text(), "/marked") {
				found = true
				logged <- true
			}
		}
		close(logged)
	}()
	from := map[string]bool{}
	harness.Eventually(p.t, "answers of all three", func() bool {
		page, err := p.page("/cgi-bin/page")
		if err == nil {
			from[page[strings.LastIndex(page, " ")+1:]] = true
		}
		return len(from) == 3
	})
	_, _ = p.page("/marked") // is not there, which is logged
	if !<-logged {
		p.t.Error("the log that is followed lacks a visit")
	}
	_ = follow.Process.Signal(os.Interrupt)
	_ = follow.Wait()
}

// isolated is that the web server, which is in the front, does not reach the back.
func (p *project) isolated() {
	p.t.Helper()
	if out, err := p.command("exec", "-T", "web", "nslookup", "db").CombinedOutput(); err == nil {
		p.t.Errorf("the front finds the database: %s", out)
	}
	if out := p.ok("exec", "-T", "app", "nslookup", "database"); !strings.Contains(out, "Address") {
		p.t.Errorf("the application does not find the database by its alias: %s", out)
	}
}
