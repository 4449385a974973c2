package cgroup

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/berth-containers/berth/internal/sys/cgroup/kernfs"
)

// join moves the process pid into the group.
func (g *Group) join(pid int) error {
	for _, h := range g.layout.hierarchies {
		if err := kernfs.Write(filepath.Join(h.dir(g.path), "cgroup.procs"), strconv.Itoa(pid)); err != nil {
			return err
		}
	}
	return nil
}

func TestDoors(t *testing.T) {
	if os.Getuid() != 0 || Detect() != V1 {
		t.Skip("needs root and cgroup v1")
	}
	path := "/berth-doors-" + strconv.Itoa(os.Getpid())
	g, _, err := Create(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	doors, err := g.Doors()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		for _, f := range doors {
			f.Close()
		}
		if err := g.Remove(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	for _, door := range doors {
		cmd := exec.Command("sh", "-c", "echo 0 >&3; cat /proc/self/cgroup")
		cmd.ExtraFiles = []*os.File{door}
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(string(out), ":"+path+"\n"); got != 1 {
			t.Errorf("through %s the child is in %d groups:\n%s", door.Name(), got, out)
		}
	}
}
