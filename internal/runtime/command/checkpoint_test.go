package command_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// fakeCriu takes the place of criu: it writes down how it is called; a restore
// starts a stopped process. What it is asked for by the name FAIL, it fails at.
const fakeCriu = `#!/bin/sh
echo "$@" >> "$CRIU_CALLS"
verb=$1
while [ $# -gt 0 ]; do case $1 in
--log-file) log=$2;; --work-dir) work=$2;; --images-dir) images=$2;; --pidfile) pidfile=$2;; --tree) tree=$2;;
esac; shift; done
[ -z "$CRIU_FAIL" ] || { echo "(00.1) Error (criu/x.c:1): $CRIU_FAIL" > "$work/$log"; exit 1; }
case $verb in
dump) kill -9 "$tree"; : > "$images/mountinfo";; # nothing is mounted for what it restores
restore) # It stops itself: stopped from here, it might still hold our output.
	setsid sh -c 'kill -STOP $$; exec sleep 1000' </dev/null >/dev/null 2>&1 & echo $! > "$pidfile"
	until grep -q '^State:.*T' /proc/$!/status; do :; done;;
esac
`

func TestCheckpointAndRestore(t *testing.T) {
	adoptOrphans(t)
	b := newBundle(t, "sleep", "1000")
	b.edit(func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/mnt", Type: "bind", Source: b.dir, Options: []string{"rbind"}})
	})
	fake, calls, images := filepath.Join(b.dir, "fake"), filepath.Join(b.dir, "calls"), filepath.Join(b.dir, "images")
	if err := os.Mkdir(fake, 0o755); err != nil {
		t.Fatal(err)
	}
	b.must("create", b.id)
	pid := b.status().Pid
	b.must("start", b.id)
	path := os.Getenv("PATH")
	t.Setenv("PATH", fake)
	if out, code := b.run("checkpoint", b.id); code == 0 || !strings.Contains(out, "install Debian's package criu") {
		t.Errorf("without criu: %q", out)
	}
	t.Setenv("PATH", fake+":"+path)
	t.Setenv("CRIU_CALLS", calls)
	if err := os.WriteFile(filepath.Join(fake, "criu"), []byte(fakeCriu), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CRIU_FAIL", "it is Tuesday")
	if out, code := b.run("checkpoint", "--image-path", images, b.id); code == 0 || !strings.Contains(out, "it is Tuesday") {
		t.Errorf("a criu that fails: %q", out)
	}
	t.Setenv("CRIU_FAIL", "")
	b.must("checkpoint", "--image-path", images, "--pre-dump", b.id)
	b.must("checkpoint", "--image-path", images, "--leave-running=false", "--tcp-established", "--file-locks", "--parent-path", "../before", b.id)
	reap(t, pid)
	b.gone(b.id)
	if out, code := b.run("restore", "--image-path", b.dir, b.id); code == 0 || !strings.Contains(out, "holds no checkpoint") {
		t.Errorf("no images: %q", out)
	}
	b.gone(b.id)
	pidFile := filepath.Join(b.dir, "pid")
	b.must("restore", "--detach", "--image-path", images, "--pid-file", pidFile, b.id)
	s := b.status()
	if text, err := os.ReadFile(pidFile); err != nil || s.Status != specs.StateRunning || string(text) == "" {
		t.Errorf("%+v, %q, %v", s, text, err)
	}
	if ps := b.must("ps", b.id); !strings.Contains(ps, "sleep 1000") {
		t.Errorf("the process is not in the cgroup: %s", ps)
	}
	b.must("delete", "--force", b.id)
	reapAll(t)
	b.gone(b.id)
	text, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"pre-dump --log-file dump.log --images-dir " + images, "--tcp-established --file-locks --prev-images-dir ../before --manage-cgroups=soft",
		"--external mnt[/mnt]:/mnt", "restore --log-file restore.log", "--external mnt[/mnt]:" + b.dir, "--restore-detached --restore-sibling --leave-stopped"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("criu was not told %q but\n%s", want, text)
		}
	}
}
