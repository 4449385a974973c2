package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// mounted is whether something is mounted at a volume's place in the lab.
func mounted(t *testing.T, e *harness.Engine, volume string) bool {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(table), " "+filepath.Join(e.DataRoot, "volumes", volume, "_data")+" ")
}

// A volume with a filesystem of its own is mounted while a container runs with
// it, also after a kill of the engine.
func TestVolumeOptions(t *testing.T) {
	e := engine(t)
	image := filepath.Join(e.Dir, "fs.img")
	if out, err := exec.Command("sh", "-c", "truncate -s 8M "+image+" && /sbin/mkfs.ext4 -q "+image).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	source := filepath.Join(e.Dir, "source")
	if err := os.Mkdir(source, 0o755); err != nil {
		t.Fatal(err)
	}
	e.DockerOK("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,uid=7", "--label", "a=b", "mem")
	e.DockerOK("volume", "create", "-o", "type=none", "-o", "device="+source, "-o", "o=bind", "bound")
	e.DockerOK("volume", "create", "-o", "type=ext4", "-o", "device="+image, "disk")
	if got := e.DockerOK("volume", "inspect", "-f", "{{json .Options}} {{.Labels.a}}", "mem"); got != `{"device":"tmpfs","o":"size=1m,uid=7","type":"tmpfs"} b` {
		t.Error(got)
	}
	e.DockerOK("run", "-d", "--name", "one", "-v", "mem:/mem", "-v", "bound:/bound", "-v", "disk:/disk", "busybox", "sleep", "300")
	got := e.DockerOK("run", "--rm", "-v", "mem:/mem", "-v", "bound:/bound", "-v", "disk:/disk", "busybox", "sh", "-c",
		"stat -c %u /mem; for d in mem bound disk; do echo x >/$d/f; grep -w /$d /proc/mounts | cut -d' ' -f3; done; dd if=/dev/zero of=/mem/big bs=1M count=2 2>&1 | grep -o 'No space.*'; rm /mem/big; ls /disk")
	if !strings.HasPrefix(got, "7\ntmpfs\n") || !strings.Contains(got, "ext4\nNo space left on device\n") {
		t.Error(got)
	}
	if got := e.DockerOK("exec", "one", "sh", "-c", "cat /mem/f /bound/f /disk/f"); got != "x\nx\nx" {
		t.Error(got)
	}
	if _, err := os.Stat(filepath.Join(source, "f")); err != nil {
		t.Error(err)
	}
	e.Kill()
	e.Start()
	if got := e.DockerOK("exec", "one", "cat", "/mem/f"); got != "x" || !mounted(t, e, "mem") {
		t.Error("after a kill of the engine:", got)
	}
	if r := e.Docker("volume", "rm", "mem"); r.Code == 0 || !strings.Contains(r.Err, "volume is in use") {
		t.Error(r)
	}
	e.DockerOK("stop", "-t", "0", "one")
	for _, name := range []string{"mem", "bound", "disk"} {
		harness.Eventually(t, name+" to be unmounted", func() bool { return !mounted(t, e, name) })
	}
	// cp reaches a volume of a container that does not run.
	e.DockerOK("cp", "one:/disk/f", filepath.Join(e.Dir, "copied"))
	if b, err := os.ReadFile(filepath.Join(e.Dir, "copied")); err != nil || string(b) != "x\n" || mounted(t, e, "disk") {
		t.Error(string(b), err)
	}
	// A run whose end no engine sees leaves nothing mounted.
	e.DockerOK("start", "one")
	pid := e.DockerOK("inspect", "-f", "{{.State.Pid}}", "one")
	e.Kill()
	if out, err := exec.Command("kill", "-9", pid).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	e.Start()
	harness.Eventually(t, "the volume to be unmounted", func() bool { return !mounted(t, e, "mem") })
	e.DockerOK("rm", "-f", "one")
	e.DockerOK("volume", "rm", "mem", "bound", "disk")
	if _, err := os.Stat(filepath.Join(source, "f")); err != nil {
		t.Error("what a volume shows was removed with it:", err)
	}
}

// What a machine's restart takes away is there again: the mounts of volumes and
// the shared memory of a container that its policy starts.
func TestVolumesAfterBoot(t *testing.T) {
	e := engine(t)
	e.DockerOK("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "mem")
	e.DockerOK("run", "-d", "--name", "one", "--restart", "always", "--ipc", "shareable", "--shm-size", "3m", "-v", "mem:/mem", "busybox", "sleep", "300")
	shm := filepath.Join(e.ExecRoot, "shm", e.DockerOK("inspect", "-f", "{{.Id}}", "one"))
	pid := e.DockerOK("inspect", "-f", "{{.State.Pid}}", "one")
	e.Kill()
	e.KillShim()
	if out, err := exec.Command("kill", "-9", pid).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, at := range []string{filepath.Join(e.DataRoot, "volumes/mem/_data"), shm} {
		if err := syscall.Unmount(at, 0); err != nil {
			t.Error(at, err)
		}
	}
	if err := os.RemoveAll(e.ExecRoot); err != nil {
		t.Fatal(err)
	}
	e.Start()
	harness.Eventually(t, "the container to run again", func() bool { return e.Docker("exec", "one", "true").Code == 0 })
	if got := e.DockerOK("exec", "one", "sh", "-c", "stat -f -c %T /mem; df -k /dev/shm | tail -1 | awk '{print $2}'"); got != "tmpfs\n3072" || !mounted(t, e, "mem") {
		t.Error(got)
	}
}

func TestVolumeSubpath(t *testing.T) {
	e := engine(t)
	e.DockerOK("run", "--rm", "-v", "data:/d", "busybox", "sh", "-c", "mkdir -p /d/a/b /d/other; echo deep >/d/a/b/f; echo secret >/d/other/s; ln -s / /d/root; ln -s ../other /d/a/side; ln -s ../../.. /d/a/up")
	each(t, e, func(t *testing.T, client func(...string) harness.Result) {
		for _, tc := range []struct{ subpath, script, want string }{
			{"a/b", "cat /m/f; ls /m", "deep\nf\n"}, {"a/b/f", "cat /m", "deep\n"}, {"a/side", "cat /m/s", "secret\n"},
			{"a", "ls /m/side/ 2>/dev/null | wc -l; cat /m/../d/other/s 2>&1 | grep -c secret", "0\n0\n"},
			{"root", "true", "path concatenation escapes the base directory"}, {"a/up", "true", "path concatenation escapes the base directory"},
			{"none", "true", "cannot access path"}, {"../data", "true", "subpath must be a relative path within the volume"}, {"/a", "true", "subpath must be a relative path within the volume"},
		} {
			r := client("run", "--rm", "--mount", "type=volume,src=data,dst=/m,volume-subpath="+tc.subpath, "busybox", "sh", "-c", tc.script)
			if !strings.Contains(r.Out+r.Err, tc.want) {
				t.Errorf("%s: %+v, want %q", tc.subpath, r, tc.want)
			}
		}
		r := client("run", "--rm", "--mount", "type=volume,src=data,dst=/m,volume-subpath=a,readonly", "busybox", "touch", "/m/x")
		if r.Code == 0 || !strings.Contains(r.Err, "Read-only file system") {
			t.Error(r)
		}
	})
	if got := e.DockerOK("ps", "-aq"); got != "" {
		t.Error("left:", got)
	}
}

// An image is mounted read-only, and stays while a container has it.
func TestImageMount(t *testing.T) {
	e := engine(t)
	e.OK("run", "--name", "maker", "busybox", "sh", "-c", "mkdir /extra; echo over >/extra/f; rm /etc/notprogram")
	e.OK("commit", "maker", "tools:1")
	e.OK("rm", "maker")
	each(t, e, func(t *testing.T, client func(...string) harness.Result) {
		for _, tc := range []struct{ options, script, want string }{
			{"", "cat /m/extra/f; test -x /m/bin/busybox && echo below; ls /m/etc/notprogram; touch /m/x", "over\nbelow\nls: /m/etc/notprogram: No such file or directory\ntouch: /m/x: Read-only file system\n"},
			{",image-subpath=extra", "cat /m/f; ls /m", "over\nf\n"}, {",image-subpath=extra/f", "cat /m", "over\n"},
			{",image-subpath=none", "true", "cannot access path"}, {",image-subpath=..", "true", "subpath must be a relative path within the volume"},
		} {
			r := client("run", "--rm", "--mount", "type=image,src=tools:1,dst=/m"+tc.options, "busybox", "sh", "-c", "exec 2>&1; "+tc.script)
			if !strings.Contains(r.Out+r.Err, tc.want) {
				t.Errorf("%s: %+v, want %q", tc.options, r, tc.want)
			}
		}
	})
	e.DockerOK("run", "-d", "--name", "one", "--mount", "type=image,src=tools:1,dst=/m", "busybox", "sleep", "300")
	e.DockerOK("create", "--name", "two", "--volumes-from", "one", "busybox", "cat", "/m/extra/f")
	if got := e.DockerOK("inspect", "-f", "{{range .Mounts}}{{.Type}} {{.Name}} {{.Destination}} {{.RW}}{{end}}", "one"); got != "image tools:1 /m false" {
		t.Error(got)
	}
	if r := e.Docker("rmi", "tools:1"); r.Code == 0 || !strings.Contains(r.Err, "conflict") {
		t.Error(r)
	}
	e.Kill()
	e.Start()
	e.DockerOK("restart", "-t", "0", "one")
	e.DockerOK("rm", "-f", "one")
	if got := e.DockerOK("start", "-a", "two"); got != "over" {
		t.Error(got)
	}
	e.DockerOK("rm", "two")
	e.DockerOK("rmi", "tools:1")
}
