package e2e

import (
	"fmt"
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
		// The next engine begins anew.
		e.Kill()
		e.Start()
		is("good", "healthy")
		e.OK("stop", "-t", "0", "good")
		is("good", "unhealthy")
		e.OK("rm", "-f", "good", "slow", "wrong", "patient", "none")
	})
}
