package show

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"github.com/berth-containers/berth/internal/container"
)

func TestStatusText(t *testing.T) {
	now := time.Unix(100000, 0)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, tc := range []struct {
		s    container.State
		want string
	}{
		{container.State{Status: container.Created}, "Created"},
		{container.State{Status: container.Running, StartedAt: ago(5 * time.Minute)}, "Up 5 minutes"},
		{container.State{Status: container.Running, StartedAt: now}, "Up Less than a second"},
		{container.State{Status: container.Paused, StartedAt: ago(3 * time.Hour)}, "Up 3 hours (Paused)"},
		{container.State{Status: container.Exited, ExitCode: 137, FinishedAt: ago(2 * time.Second)}, "Exited (137) 2 seconds ago"},
		{container.State{Status: container.Restarting, ExitCode: 1, FinishedAt: ago(time.Second)}, "Restarting (1) 1 second ago"},
		{container.State{Status: container.Removing}, "Removal In Progress"},
		{container.State{Status: container.Dead}, "Dead"},
	} {
		if got := StatusText(tc.s, now); got != tc.want {
			t.Errorf("%+v: %q; want %q", tc.s, got, tc.want)
		}
	}
}

func minimal(status container.Status) *container.Record {
	return &container.Record{ID: "abc", Name: "web", Created: time.Unix(1, 5).UTC(), Config: &api.Config{Cmd: []string{"sh", "-c", "x"}},
		HostConfig: &api.HostConfig{NetworkMode: "bridge"}, State: container.State{Status: status}}
}

// What clients index into is never null.
func TestNoNulls(t *testing.T) {
	for _, status := range []container.Status{container.Created, container.Running, container.Exited} {
		for _, mode := range []api.NetworkMode{"bridge", "none", "host", "container:x"} {
			r := minimal(status)
			r.HostConfig.NetworkMode = mode
			i, err := json.Marshal(Inspect(r, Facts{}))
			if err != nil {
				t.Fatal(err)
			}
			s, err := json.Marshal(Summary(r, Facts{}))
			if err != nil {
				t.Fatal(err)
			}
			for _, field := range []string{"Networks", "Mounts", "Labels", "Ports", "Args", "Env"} {
				if strings.Contains(string(i), fmt.Sprintf("%q:null", field)) || strings.Contains(string(s), fmt.Sprintf("%q:null", field)) {
					t.Errorf("%s, %s: %s is null", status, mode, field)
				}
			}
		}
	}
}

func TestCommand(t *testing.T) {
	for want, c := range map[string]api.Config{
		"sh -c x":                {Cmd: []string{"sh", "-c", "x"}},
		"sh -c 'for i in 1; do'": {Entrypoint: []string{"sh", "-c"}, Cmd: []string{"for i in 1; do"}},
		"/bin/a b":               {Cmd: []string{"/bin/a b"}},
		"":                       {},
	} {
		r := minimal(container.Created)
		r.Config = &c
		if got := Summary(r, Facts{}).Command; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestInspectState(t *testing.T) {
	for status, want := range map[container.Status]string{
		container.Created: "false false false false", container.Running: "true false false false", container.Paused: "true true false false",
		container.Restarting: "true false true false", container.Exited: "false false false false", container.Dead: "false false false true",
	} {
		s := Inspect(minimal(status), Facts{}).State
		if got := fmt.Sprint(s.Running, s.Paused, s.Restarting, s.Dead); got != want || string(s.Status) != string(status) {
			t.Errorf("%s: %s; want %s", status, got, want)
		}
	}
	i := Inspect(minimal(container.Created), Facts{})
	if i.Created != "1970-01-01T00:00:01.000000005Z" || i.State.StartedAt != "0001-01-01T00:00:00Z" || i.Path != "sh" || len(i.Args) != 2 {
		t.Errorf("%+v", i)
	}
}

func TestExposedPortIsNullBinding(t *testing.T) {
	r := minimal(container.Running)
	r.Config.ExposedPorts = network.PortSet{network.MustParsePort("80/tcp"): {}}
	b, err := json.Marshal(PortMap(r))
	if err != nil || string(b) != `{"80/tcp":null}` {
		t.Fatal(string(b), err)
	}
}

func TestFilter(t *testing.T) {
	r := minimal(container.Exited)
	r.State.ExitCode = 3
	r.Networks = []container.Attachment{{Network: "bridge"}}
	r.Config.Labels = map[string]string{"a": "1", "b": "2"}
	find := Find{
		Health: func(_ *container.Record, status string) bool { return status == "none" },
		Container: func(ref string) (*container.Record, error) {
			return nil, errdefs.ErrNotFound.WithMessage("No such container: " + ref)
		},
		Image: func(string) (string, error) { return "", errdefs.ErrNotFound },
	}
	for _, tc := range []struct{ key, values, want string }{
		{"id", "ab", "yes"}, {"id", "b", "no"}, {"name", "we", "yes"}, {"name", "^/web$", "yes"}, {"name", "(", "invalid filter 'name=('"},
		{"label", "a", "yes"}, {"label", "a=1 b=2", "yes"}, {"label", "a=1 b=3", "no"}, {"exited", "3", "yes"}, {"exited", "0", "no"},
		{"exited", "x", "invalid filter 'exited=x'"}, {"status", "exited created", "yes"}, {"status", "running", "no"}, {"is-task", "false", "yes"},
		{"is-task", "true", "no"}, {"health", "none", "yes"}, {"health", "healthy", "no"}, {"network", "bridge", "yes"}, {"volume", "/x", "no"},
		{"ancestor", "nope", "no"}, {"before", "nobody", "No such container: nobody"}, {"publish", "80", "no"}, {"expose", "x", "invalid filter 'expose=x'"},
	} {
		values := map[string]bool{}
		for _, v := range strings.Fields(tc.values) {
			values[v] = true
		}
		got := "no"
		f, err := NewFilter(map[string]map[string]bool{tc.key: values}, find)
		if err != nil {
			got = err.Error()
		} else if f.Match(r) {
			got = "yes"
		}
		if got != tc.want {
			t.Errorf("%s=%s: %s; want %s", tc.key, tc.values, got, tc.want)
		}
	}
}
