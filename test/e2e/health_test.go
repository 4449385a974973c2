package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-containers/berth/test/harness"
)

func TestHealth(t *testing.T) {
	e := engine(t)
	status := func(name string) string { return e.OK("inspect", "-f", "{{.State.Health.Status}}", name) }
	is := func(name, want string) {
		t.Helper()
		harness.Eventually(t, name+" to be "+want, func() bool { return status(name) == want })
	}
	each(t, e, func(t *testing.T, client func(...string) harness.Result) {
		run := func(args ...string) {
			t.Helper()
			if r := client(append([]string{"run", "-d"}, args...)...); r.Code != 0 || r.Err != "" {
				t.Fatalf("%v: %+v", args, r)
			}
		}
		quick := []string{"--health-interval", "100ms", "--health-timeout", "500ms", "--health-retries", "2"}
		run(append(quick, "--name", "good", "--health-cmd", "test -e /good && echo fine", "busybox", "sh", "-c", "touch /good; sleep 300")...)
		run(append(quick, "--name", "slow", "--health-cmd", "echo begun; sleep 300", "busybox", "sleep", "300")...)
		run(append(quick, "--name", "wrong", "--health-cmd", "/nosuch", "busybox", "sleep", "300")...)
		run("--name", "patient", "--health-cmd", "true", "busybox", "sleep", "300")
		run("--name", "none", "busybox", "sleep", "300")
		is("good", "healthy")
		is("slow", "unhealthy")
		is("wrong", "unhealthy")
		is("patient", "starting")
		if out := e.OK("inspect", "-f", "{{range .State.Health.Log}}{{.ExitCode}} {{.Output}}{{end}}", "good"); !strings.Contains(out, "0 fine") {
			t.Errorf("log of good: %s", out)
		}
		if out := e.OK("inspect", "-f", "{{range .State.Health.Log}}{{.ExitCode}} {{.Output}}{{end}}", "slow"); !strings.Contains(out, "-1 Health check exceeded timeout (500ms): begun") {
			t.Errorf("log of slow: %s", out)
		}
		ps := client("ps", "--format", "{{.Names}} {{.Status}}").Out
		for _, want := range []string{"(healthy)", "(unhealthy)", "(health: starting)"} {
			if !strings.Contains(ps, want) {
				t.Errorf("no %s in %s", want, ps)
			}
		}
		for filter, want := range map[string]string{"healthy": "good", "starting": "patient", "none": "none"} {
			if got := strings.TrimSpace(client("ps", "--filter", "health="+filter, "--format", "{{.Names}}").Out); got != want {
				t.Errorf("health=%s: %s", filter, got)
			}
		}
		e.OK("exec", "good", "rm", "/good")
		is("good", "unhealthy")
		e.OK("exec", "good", "touch", "/good")
		is("good", "healthy")
		until := fmt.Sprint(time.Now().Unix() + 1)
		if told := client("events", "--since", "1", "--until", until, "--filter", "container=good", "--filter", "event=health_status", "--format", "{{.Action}}").Out; strings.Count(told, "health_status: healthy") < 2 || !strings.Contains(told, "health_status: unhealthy") {
			t.Errorf("events: %s", told)
		}
		// The next engine goes on with what this one found.
		run("--name", "calm", "--health-cmd", "true", "--health-interval", "1h", "--health-start-period", "1h", "--health-start-interval", "100ms", "busybox", "sleep", "300")
		is("calm", "healthy")
		calm := e.OK("inspect", "-f", "{{json .State.Health}}", "calm") // it is not probed again
		log := e.OK("inspect", "-f", "{{(index .State.Health.Log 0).Start}}", "wrong")
		e.Kill()
		e.Start()
		if got := status("good"); got != "healthy" {
			t.Errorf("after kill -9 good is %s", got)
		}
		if now := e.OK("inspect", "-f", "{{(index .State.Health.Log 0).Start}}", "wrong"); now < log {
			t.Errorf("the log of wrong began at %s, after kill -9 at %s", log, now)
		}
		if now := e.OK("inspect", "-f", "{{json .State.Health}}", "calm"); now != calm {
			t.Errorf("the health of calm was %s, after kill -9 %s", calm, now)
		}
		e.OK("stop", "-t", "0", "good")
		is("good", "unhealthy")
		e.OK("rm", "-f", "good", "slow", "wrong", "patient", "none", "calm")
	})
}

// Probes over the network of the container, which has no way out.
func TestDirectHealth(t *testing.T) {
	e := engine(t)
	each(t, e, func(t *testing.T, client func(...string) harness.Result) {
		quick := []string{"run", "-d", "--network", "none", "--health-interval", "100ms", "--health-retries", "2"}
		serve := []string{"busybox", "sh", "-c", "mkdir -p /www && echo well > /www/ok && exec httpd -f -p 8080 -h /www"}
		for name, label := range map[string]string{"web": "berth.health.http=8080/ok", "lost": "berth.health.http=8080/nosuch", "port": "berth.health.tcp=8080", "shut": "berth.health.tcp=8081"} {
			if r := client(slices.Concat(quick, []string{"--name", name, "-l", label}, serve)...); r.Code != 0 {
				t.Fatalf("%+v", r)
			}
		}
		for name, want := range map[string]string{"web": "healthy 0 GET http://127.0.0.1:8080/ok: 200 OK\nwell", "lost": "unhealthy 1 GET http://127.0.0.1:8080/nosuch: 404",
			"port": "healthy 0 connected to 127.0.0.1:8080", "shut": "unhealthy 1 dial tcp 127.0.0.1:8081: connection refused"} {
			var got string
			harness.Eventually(t, name+" to be "+want, func() bool {
				got = e.OK("inspect", "-f", "{{.State.Health.Status}}{{with .State.Health.Log}}{{with index . 0}} {{.ExitCode}} {{.Output}}{{end}}{{end}}", name)
				return strings.HasPrefix(got, want)
			})
		}
		if top := e.OK("top", "web"); strings.Count(top, "\n") > 1 {
			t.Errorf("a probe started a process: %s", top)
		}
		if r := client("create", "-l", "berth.health.http=db:80", "busybox", "true"); r.Code == 0 || !strings.Contains(r.Err, "not an address") {
			t.Errorf("a name as address: %+v", r)
		}
		e.OK("rm", "-f", "web", "lost", "port", "shut")
	})
}

func TestRestartUnhealthy(t *testing.T) {
	e := engine(t)
	count := func() string { return e.OK("inspect", "-f", "{{.RestartCount}} {{.State.Health.Status}}", "sick") }
	e.OK("run", "-d", "--name", "sick", "--restart-unhealthy", "--stop-timeout", "1", "--health-interval", "100ms", "--health-retries", "1", "--health-cmd", "test ! -e /sick",
		"busybox", "sh", "-c", "rm -f /sick; trap 'exit 0' TERM; while :; do sleep 0.1; done")
	harness.Eventually(t, "it to be healthy", func() bool { return count() == "0 healthy" })
	e.OK("exec", "sick", "touch", "/sick")
	harness.Eventually(t, "it to run anew", func() bool { return count() == "1 healthy" })
	e.OK("exec", "sick", "touch", "/sick")
	e.Kill() // it may be before the probe, before the signal or before the next run
	e.Start()
	harness.Eventually(t, "it to run anew", func() bool { return count() == "2 healthy" })
	e.OK("stop", "sick")
	if got := e.OK("inspect", "-f", "{{.State.Status}}", "sick"); got != "exited" {
		t.Errorf("after stop it is %s", got)
	}
	e.OK("rm", "sick")
}
