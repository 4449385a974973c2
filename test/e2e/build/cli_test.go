package build

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"github.com/berth-containers/berth/test/harness"
)

// What a user sees of berth build, beside images.
func TestCommand(t *testing.T) {
	p := newPlace(t)
	e := ours(t, p)
	u := user{e, t.TempDir()}
	t.Run("faults", u.faults)
	t.Run("outputs", u.outputs)
	t.Run("flat", u.flat)
	t.Run("reproducible", u.reproducible)
	t.Run("increment", u.increment)
	t.Run("interrupt", u.interrupt)
	t.Run("shell", u.shell)
	t.Run("secret", u.secret)
	t.Run("tree", u.tree)
}

// user is somebody in a folder.
type user struct {
	e   *harness.Engine
	dir string
}

func (u user) put(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(u.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (u user) command(args ...string) *exec.Cmd {
	cmd := u.e.Command("berth", append([]string{"build"}, args...)...)
	cmd.Dir = u.dir
	return cmd
}

func (u user) ok(t *testing.T, args ...string) string {
	t.Helper()
	cmd := u.command(args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("berth build %v: %v\n%s", args, err, errs.String())
	}
	return strings.TrimSpace(string(out))
}

// A mistake is told with its line and column and with what was meant.
func (u user) faults(t *testing.T) {
	u.put(t, "hello.txt", "hello\n")
	u.put(t, "ignored.txt", "x\n")
	u.put(t, ".dockerignore", "ignored.txt\n")
	for name, c := range map[string]struct {
		dockerfile string
		args       []string
		want       []string
	}{
		"instruction": {"FROM busybox\nRNU x\n", nil, []string{"Dockerfile:2:1: unknown instruction: RNU (did you mean RUN?)", ">    2 | RNU x"}},
		"stage":       {"FROM busybox AS base\nCOPY --from=bsae /x /x\n", nil, []string{"Dockerfile:2:", `did you mean base?`}},
		"target":      {"FROM busybox AS one\n", []string{"--target", "oen"}, []string{`target stage "oen" could not be found (did you mean one?)`}},
		"mount":       {"FROM busybox\nRUN --mount=type=cahce,target=/x true\n", nil, []string{`Dockerfile:2:18: unsupported mount type "cahce" (did you mean cache?)`}},
		"file":        {"FROM busybox\nCOPY helo.txt /x\n", nil, []string{`Dockerfile:2:6: "/helo.txt": not found`, `Did you mean "hello.txt"?`}},
		"ignored":     {"FROM busybox\nCOPY ignored.txt /x\n", nil, []string{".dockerignore keeps it from the build"}},
		"step":        {"FROM busybox AS b\nRUN echo trying; exit 3\n", nil, []string{"Dockerfile:2:1: ", "exit code: 3", "its last output:\n  trying\n", "berth build --debug-shell "}},
		"secret":      {"FROM busybox\nRUN --mount=type=secret,id=k,required=true true\n", nil, []string{"Dockerfile:2:1: ", "secret k: not found"}},
		"base":        {"FROM 127.0.0.1:1/none\n", nil, []string{"Dockerfile:1:1: ", "127.0.0.1:1/none"}},
		"name":        {"FROM busybox\n", []string{"-t", "A"}, []string{"A", "lowercase"}},
	} {
		t.Run(name, func(t *testing.T) {
			u.put(t, "Dockerfile", c.dockerfile)
			out, err := u.command(append(c.args, ".")...).CombinedOutput()
			if err == nil {
				t.Fatalf("it was built:\n%s", out)
			}
			for _, want := range c.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
		})
	}
	u.put(t, "Dockerfile", "FROM busybox\nARG version=1\nLABEL v=$verison\n")
	out, err := u.command(".").CombinedOutput()
	if want := "Dockerfile:3:9: warning: UndefinedVar: Usage of undefined variable '$verison' (did you mean $version?)"; err != nil || !strings.Contains(string(out), want) {
		t.Errorf("a variable that is not there: %v, no %q in\n%s", err, want, out)
	}
	out, err = u.command("--check", ".").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "Check complete, 1 warning has been found!") {
		t.Errorf("--check: %v\n%s", err, out)
	}
}

func (u user) outputs(t *testing.T) {
	u.put(t, "Dockerfile", "FROM busybox AS a\nRUN echo made > /made\nFROM scratch\nCOPY --from=a /made /made\n")
	id := u.ok(t, "-q", "-t", "out:1", "--iidfile", "iid", "--metadata-file", "meta", ".")
	if file, err := os.ReadFile(filepath.Join(u.dir, "iid")); err != nil || string(file) != id {
		t.Errorf("--iidfile: %v %s; -q said %s", err, file, id)
	}
	if got := u.e.OK("image", "inspect", "--format", "{{.Id}}", "out:1"); got != id {
		t.Errorf("the engine has %s; -q said %s", got, id)
	}
	var meta map[string]any
	if file, err := os.ReadFile(filepath.Join(u.dir, "meta")); err != nil || json.Unmarshal(file, &meta) != nil || meta["containerimage.config.digest"] != id {
		t.Errorf("--metadata-file: %v %s", err, file)
	}
	u.ok(t, "-o", "folder", ".")
	if made, err := os.ReadFile(filepath.Join(u.dir, "folder", "made")); err != nil || string(made) != "made\n" {
		t.Errorf("-o folder: %v %q", err, made)
	}
	for output, want := range map[string]string{"type=tar,dest=x.tar": "made", "type=oci,dest=x.tar": "index.json", "type=docker,dest=x.tar": "manifest.json"} {
		u.ok(t, "-o", output, "-t", "out:1", ".")
		list, err := exec.Command("tar", "-tf", filepath.Join(u.dir, "x.tar")).Output()
		if err != nil || !strings.Contains(string(list), want) {
			t.Errorf("-o %s: %v\n%s", output, err, list)
		}
	}
	registry := harness.Registry(t)
	u.ok(t, "--push", "-t", registry+"/out:1", ".")
	if out, err := exec.Command("skopeo", "inspect", "--tls-verify=false", "docker://"+registry+"/out:1").CombinedOutput(); err != nil {
		t.Errorf("what was pushed: %v\n%s", err, out)
	}
	u.ok(t, "--cache-to", "type=registry,mode=max,ref="+registry+"/cache", "--cache-to", "type=local,dest=cache", ".")
	if _, err := os.Stat(filepath.Join(u.dir, "cache", "index.json")); err != nil {
		t.Error(err)
	}
	u.ok(t, "--cache-from", registry+"/cache", "--cache-from", "type=local,src=cache", ".")
	if out := u.ok(t, "--call", "targets", "."); !strings.Contains(out, "(default)") {
		t.Errorf("--call=targets: %s", out)
	}
	// The context and the Dockerfile by standard input.
	archive, err := exec.Command("tar", "-C", u.dir, "-c", "Dockerfile").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []string{string(archive), "FROM busybox\nRUN true\n"} {
		cmd := u.command("-q", "-")
		cmd.Stdin = strings.NewReader(in)
		if out, err := cmd.Output(); err != nil || !strings.HasPrefix(string(out), "sha256:") {
			t.Errorf("from standard input: %v %s", err, out)
		}
	}
}

// --flat makes one layer above the base, --flat=all one in all.
func (u user) flat(t *testing.T) {
	u.put(t, "Dockerfile", "FROM busybox\nRUN head -c 3000000 /dev/zero > /big\nRUN rm /big; echo 1 > /one\nRUN echo 2 > /two\n")
	base := u.layers("busybox")
	for flag, want := range map[string]int{"--load": base + 3, "--flat": base + 1, "--flat=all": 1} {
		out, err := u.command("-t", "flat", flag, ".").CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", flag, err, out)
		}
		if got := u.layers("flat"); got != want {
			t.Errorf("%s: %d layers; want %d", flag, got, want)
		}
		if flag == "--flat" && !strings.Contains(string(out), "smaller by 3") {
			t.Errorf("what was saved is not said:\n%s", out)
		}
		if got := u.e.OK("run", "--rm", "flat", "cat", "/one", "/two"); got != "1\n2" {
			t.Errorf("%s: %q", flag, got)
		}
	}
}

func (u user) layers(image string) int {
	return len(strings.Fields(u.e.OK("image", "inspect", "--format", "{{range .RootFS.Layers}}{{.}} {{end}}", image)))
}

// Whatever differs, the digest does not.
func (u user) reproducible(t *testing.T) {
	var digests []string
	for i := range 2 {
		u.put(t, fmt.Sprint("twin", i, "/Dockerfile"), "FROM busybox\nCOPY f /f\nRUN date > /dev/null; echo x > /x; mkdir /d\n")
		u.put(t, fmt.Sprint("twin", i, "/f"), "f\n")
		digests = append(digests, u.ok(t, "-q", "--no-cache", "--reproducible", fmt.Sprint("twin", i)))
	}
	if digests[0] != digests[1] {
		t.Errorf("two digests: %v", digests)
	}
}

// Only what changed is sent.
func (u user) increment(t *testing.T) {
	for i := range 500 {
		u.put(t, fmt.Sprintf("many/f%d", i), strings.Repeat(fmt.Sprint(i), 1000))
	}
	u.put(t, "many/Dockerfile", "FROM scratch\nCOPY . /\n")
	sent := func() string {
		out, err := u.command("--progress", "plain", "many").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		all := regexp.MustCompile(`transferring context: (\S+)`).FindAllStringSubmatch(string(out), -1)
		return all[len(all)-1][1]
	}
	if first := sent(); !strings.HasSuffix(first, "MB") {
		t.Errorf("at first %s were sent", first)
	}
	u.put(t, "many/f7", "changed")
	if again := sent(); !strings.HasSuffix(again, "kB") {
		t.Errorf("again %s were sent", again)
	}
}

// Ctrl-C ends the build and its step.
func (u user) interrupt(t *testing.T) {
	u.put(t, "Dockerfile", "FROM busybox\nRUN echo begun; exec sleep 4711\n")
	cmd := u.command("--progress", "plain", ".")
	r, err := cmd.StderrPipe() // it ends with the client
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	buffer := make([]byte, 4096)
	for !strings.Contains(out.String(), " begun") {
		n, err := r.Read(buffer)
		if err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		out.Write(buffer[:n])
	}
	if !harness.Await(func() bool { return harness.Find("sleep", "4711") != 0 }) {
		t.Error("the step does not run")
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(r)
	err = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 130 || !strings.Contains(string(text), "interrupted") {
		t.Errorf("it ended by %v\n%s", err, text)
	}
	harness.Eventually(t, "the step to end", func() bool { return harness.Find("sleep", "4711") == 0 })
}

// --debug-shell shows what the step that failed found.
func (u user) shell(t *testing.T) {
	u.put(t, "Dockerfile", "FROM busybox\nRUN echo before > /state\nENV WHO=me\nRUN echo after > /state; exit 1\n")
	screen := u.onTerminal(t, []string{"--debug-shell", "."}, "/ # ", "cat /state; echo $WHO-$WHO; exit\n")
	if !strings.Contains(screen, "before\r\nme-me") || !strings.Contains(screen, "exit code: 1") {
		t.Errorf("the screen:\n%s", screen)
	}
}

func (u user) tree(t *testing.T) {
	u.put(t, "Dockerfile", "FROM busybox AS first\nRUN echo 1 > /1\nFROM busybox\nCOPY --from=first /1 /1\n")
	screen := u.onTerminal(t, []string{"--no-cache", "-t", "tree", "."}, "", "")
	for _, want := range []string{"Building tree", "├─ first\r\n", "✓ RUN echo 1 > /1", "Built "} {
		if !strings.Contains(screen, want) {
			t.Errorf("no %q on the screen:\n%s", want, screen)
		}
	}
}

// onTerminal runs berth build on a terminal and types when prompt is there.
func (u user) onTerminal(t *testing.T, args []string, prompt, keys string) string {
	t.Helper()
	cmd := u.command(args...)
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	var screen bytes.Buffer
	buffer := make([]byte, 4096)
	for {
		n, err := terminal.Read(buffer)
		screen.Write(buffer[:n])
		if err != nil { // EIO: the other side is closed
			break
		}
		if keys != "" && strings.Contains(screen.String(), prompt) {
			if _, err := terminal.WriteString(keys); err != nil {
				t.Fatal(err)
			}
			keys = ""
		}
	}
	_ = cmd.Wait()
	return screen.String()
}

// A secret is in no file of the engine's.
func (u user) secret(t *testing.T) {
	const text = "correct horse battery"
	u.put(t, "token", text)
	u.put(t, "Dockerfile", "FROM busybox\nRUN --mount=type=secret,id=token wc -c < /run/secrets/token > /length\n")
	u.put(t, ".dockerignore", "token\n")
	u.ok(t, "-t", "secret", "--no-cache", "--secret", "id=token,src=token", ".")
	if got := u.e.OK("run", "--rm", "secret", "cat", "/length"); got != fmt.Sprint(len(text)) {
		t.Errorf("the step saw %s bytes", got)
	}
	out, err := exec.Command("grep", "-rlaF", text, u.e.Dir).CombinedOutput()
	if len(out) > 0 || err == nil {
		t.Errorf("the secret is in:\n%s", out)
	}
}
