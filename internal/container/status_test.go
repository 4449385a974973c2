package container

import (
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

// Every pair is a row: a state that is added, or a move that is allowed by
// mistake, changes this table.
func TestStatusAfter(t *testing.T) {
	states := []Status{Created, Running, Paused, Restarting, Exited, Removing, Dead, "unheard-of"}
	ops := []Op{Start, Pause, Unpause, Exit, Retry, Remove, Fail}
	var b strings.Builder
	for _, s := range states {
		fmt.Fprintf(&b, "%s:", s)
		for _, op := range ops {
			next, err := s.After(op)
			if err != nil {
				if !errdefs.IsConflict(err) || next != s {
					t.Errorf("%s %s: %q, %v; want a Conflict and no move", s, op, next, err)
				}
				continue
			}
			fmt.Fprintf(&b, " %s=%s", op, next)
		}
		b.WriteString("\n")
	}
	want := `created: start=running remove=removing
running: pause=paused exit=exited retry=restarting
paused: unpause=running exit=exited retry=restarting
restarting: start=running exit=exited retry=restarting
exited: start=running retry=restarting remove=removing
removing: remove=removing fail=dead
dead: remove=removing
unheard-of:
`
	if b.String() != want {
		t.Errorf("moves:\n%swant:\n%s", b.String(), want)
	}
}

func TestRefusalExplainsItself(t *testing.T) {
	_, err := Created.After(Pause)
	if err == nil || err.Error() != "cannot pause a container that is created" {
		t.Fatal(err)
	}
}

func TestRecordClone(t *testing.T) {
	r := &Record{ID: "a", Mounts: []Mount{{Name: "v"}}, Networks: []Attachment{{Network: "n", Endpoint: &Endpoint{ID: "e"}}}}
	c := r.Clone()
	c.Name, c.State.Status = "n", Running
	c.SetEndpoints(nil)
	if r.Name != "" || r.State.Status != "" || len(r.Endpoints()) != 1 || len(c.Endpoints()) != 0 {
		t.Fatal("a clone shares its fields")
	}
}
