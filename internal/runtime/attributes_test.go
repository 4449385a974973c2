package runtime_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-containers/berth/internal/runtime"
)

// temporary is a file of t's own that says text.
func temporary(t testing.TB, text string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

const showDescriptors = `for i in 0 1 2 3 4 5 6 7 8 9; do test -e /proc/$$/fd/$i && echo -n $i; done; echo; test $LISTEN_PID = $$ && echo mine; cat <&3; cat <&5; echo $LISTEN_FDS $LISTEN_PID`

func TestPreservedDescriptors(t *testing.T) {
	extra := []*os.File{temporary(t, "three\n"), nil, temporary(t, "five\n")}
	s := spec("sh", "-c", showDescriptors)
	s.Process.Env = append(s.Process.Env, "LISTEN_FDS=9", "LISTEN_PID=9")
	out, code, err := runOptions(t, runtime.CreateOptions{ID: "test", Spec: s, Rootfs: rootfs(t), ExtraFiles: extra, ListenFDs: 1})
	if err != nil || code != 0 {
		t.Fatal(out, code, err)
	}
	if out != "01235\nmine\nthree\nfive\n1 1\n" {
		t.Errorf("%q", out)
	}
	for _, f := range extra {
		if f != nil {
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := newRuntime(t)
	c, s := sleeper(t, r, nil)
	p := *s.Process
	p.Args = []string{"sh", "-c", showDescriptors}
	stdout := newOutput(t)
	proc, err := r.Exec(bounded(t), runtime.ExecOptions{Pid: c.Pid, Spec: s, Process: &p, Stdio: [3]*os.File{nil, stdout.w, stdout.w}, ExtraFiles: extra, ListenFDs: 3})
	if err != nil {
		t.Fatal(err)
	}
	wait(t, proc.Pid)
	proc.Pidfd.Close()
	if out := stdout.String(); !strings.HasPrefix(out, "01235\nmine\nthree\nfive\n3 ") {
		t.Errorf("exec: %q", out)
	}
}
