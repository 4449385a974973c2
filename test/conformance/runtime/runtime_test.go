package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/test/conformance/runtime/look"
	"github.com/berth-containers/berth/test/harness"
)

// result is a command of the runtime that ended. The output's files stay open in
// a container that it left behind.
type result struct {
	code             int
	out, err         string
	outFile, errFile string
}

// foreign says that another runtime than Berth's is under test.
func foreign() bool { return os.Getenv("OCI_RUNTIME") != "" }

// runtimeArgs is the runtime under test and its global flags.
func (b *runner) runtimeArgs() []string {
	args := strings.Fields(os.Getenv("OCI_RUNTIME"))
	if len(args) == 0 {
		args = []string{harness.Bin(b.t, "berth-runtime")}
	}
	return append(append(args, "--root", b.state), b.global...)
}

// prepare makes a command of the runtime with the bundle as its directory; the
// test may change it before do.
func (b *runner) prepare(args ...string) *exec.Cmd {
	b.t.Helper()
	full := append(b.runtimeArgs(), args...)
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	b.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, full[0], full[1:]...)
	cmd.Dir = b.dir
	cmd.WaitDelay = time.Second
	return cmd
}

// do runs a command to its end. Its outputs are files, as a container's may
// outlive it.
func (b *runner) do(cmd *exec.Cmd) result {
	b.t.Helper()
	b.files++
	base := filepath.Join(b.temp("out"), strconv.Itoa(b.files))
	r := result{outFile: base + ".out", errFile: base + ".err"}
	if cmd.Stdout == nil {
		out, err := os.Create(r.outFile)
		b.must(err)
		defer out.Close()
		cmd.Stdout = out
	}
	if cmd.Stderr == nil {
		errs, err := os.Create(r.errFile)
		b.must(err)
		defer errs.Close()
		cmd.Stderr = errs
	}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		r.code = exit.ExitCode()
	case err != nil:
		b.t.Fatalf("run %s: %v", strings.Join(cmd.Args, " "), err)
	}
	r.out, r.err = read(r.outFile), read(r.errFile)
	return r
}

func read(path string) string {
	b, _ := os.ReadFile(path)
	return string(b)
}

// cmd runs a command of the runtime.
func (b *runner) cmd(args ...string) result {
	b.t.Helper()
	return b.do(b.prepare(args...))
}

// ok is cmd for one that must succeed.
func (b *runner) ok(args ...string) result {
	b.t.Helper()
	r := b.cmd(args...)
	if r.code != 0 {
		b.t.Fatalf("%s: exit %d\nout: %s\nerr: %s", strings.Join(args, " "), r.code, r.out, r.err)
	}
	return r
}

// refused is cmd for one that must fail, with an error that matches the pattern.
// Another runtime's words are its own.
func (b *runner) refused(pattern string, args ...string) result {
	b.t.Helper()
	r := b.cmd(args...)
	if r.code == 0 {
		b.t.Errorf("%s succeeds, want an error like %q\nout: %s", strings.Join(args, " "), pattern, r.out)
	} else if !foreign() && !regexp.MustCompile(pattern).MatchString(r.err) {
		b.t.Errorf("%s says %q, want one that matches %q", strings.Join(args, " "), r.err, pattern)
	}
	return r
}

// run saves the specification and runs the container to its end.
func (b *bundle) run(flags ...string) result {
	b.t.Helper()
	b.save()
	b.ids = append(b.ids, b.id)
	return b.cmd(append(append([]string{"run"}, flags...), b.id)...)
}

// looks is run for the probe: what it saw.
func (b *bundle) looks(flags ...string) *look.Report {
	b.t.Helper()
	r := b.run(flags...)
	if r.code != 0 {
		b.t.Fatalf("run: exit %d\nout: %s\nerr: %s", r.code, r.out, r.err)
	}
	return b.report(r.out)
}

// says is run for a program that must succeed: its trimmed output.
func (b *bundle) says(flags ...string) string {
	b.t.Helper()
	r := b.run(flags...)
	if r.code != 0 {
		b.t.Fatalf("run: exit %d\nout: %s\nerr: %s", r.code, r.out, r.err)
	}
	return strings.TrimSpace(r.out)
}

// fails is run for a specification that must be refused: nothing may be left but
// what the runtime says, which must match the pattern.
func (b *bundle) fails(pattern string, flags ...string) result {
	b.t.Helper()
	b.save()
	b.ids = append(b.ids, b.id)
	r := b.refused(pattern, append(append([]string{"create"}, flags...), b.id)...)
	if left := b.left(); r.code != 0 && len(left) > 0 {
		b.t.Errorf("a create that fails leaves:\n  %s", strings.Join(left, "\n  "))
	}
	return r
}

// create saves the specification and creates the container. Its output follows
// in the result's files.
func (b *bundle) create(flags ...string) result {
	b.t.Helper()
	b.save()
	b.ids = append(b.ids, b.id)
	return b.ok(append(append([]string{"create"}, flags...), b.id)...)
}

// start is create and start. With "/probe hold" as the program the report is
// there when it runs: holds.
func (b *bundle) start(flags ...string) result {
	b.t.Helper()
	r := b.create(flags...)
	b.ok("start", b.id)
	return r
}

// holds starts a container whose program is "/probe hold" and returns what it saw.
func (b *bundle) holds(flags ...string) *look.Report {
	b.t.Helper()
	r := b.start(flags...)
	return b.report(b.line(r))
}

// line waits for the first line that a container prints.
func (b *runner) line(r result) string {
	b.t.Helper()
	var line string
	found := harness.Await(func() bool {
		before, _, ok := strings.Cut(read(r.outFile), "\n")
		line = before
		return ok
	})
	if !found {
		b.t.Fatalf("the container prints nothing; errors: %s", read(r.errFile))
	}
	return line
}

// exec runs a command in the container.
func (b *runner) exec(args ...string) result {
	b.t.Helper()
	return b.cmd(append([]string{"exec", b.id}, args...)...)
}

func (b *runner) report(out string) *look.Report {
	b.t.Helper()
	r := &look.Report{}
	if err := json.Unmarshal(bytes.TrimSpace([]byte(out)), r); err != nil {
		b.t.Fatalf("the probe says %q: %v", out, err)
	}
	return r
}

func (b *runner) stateOf() specs.State {
	b.t.Helper()
	var s specs.State
	b.must(json.Unmarshal([]byte(b.ok("state", b.id).out), &s))
	return s
}

// stopped ends the container's program and waits for the runtime to say so.
func (b *runner) stopped(signal string) {
	b.t.Helper()
	b.ok("kill", b.id, signal)
	b.awaitStatus(specs.StateStopped)
}

func (b *runner) awaitStatus(status specs.ContainerState) {
	b.t.Helper()
	harness.Eventually(b.t, "the state "+string(status), func() bool { return b.stateOf().Status == status })
}

// tries runs the probe's operations and returns an answer for each.
func (b *bundle) tries(ops ...string) []string {
	b.t.Helper()
	b.spec.Process.Args = append([]string{"/probe", "try"}, ops...)
	return strings.Split(b.says(), "\n")
}

// expect runs the probe's operations and compares the answers: rows of operation
// and answer.
func (b *bundle) expect(rows [][2]string) {
	b.t.Helper()
	var ops []string
	for _, row := range rows {
		ops = append(ops, row[0])
	}
	answers := b.tries(ops...)
	for i, row := range rows {
		if i >= len(answers) {
			b.t.Fatalf("%d answers to %d operations: %q", len(answers), len(rows), answers)
		}
		if answers[i] != row[1] {
			b.t.Errorf("%s: %s, want %s", row[0], answers[i], row[1])
		}
	}
}
