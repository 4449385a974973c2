package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// withSubordinates runs what is given in a lab whose alice has IDs of her own.
func withSubordinates(run func() int) (code int, err error) {
	file, err := os.CreateTemp("", "berth-test-subid-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.Remove(file.Name())) }()
	_, err = file.WriteString("alice:100000:65536\n")
	err = errors.Join(err, file.Chmod(0o644), file.Close())
	for _, name := range []string{"/etc/subuid", "/etc/subgid"} {
		if err == nil {
			err = syscall.Mount(file.Name(), name, "", syscall.MS_BIND, "")
		}
	}
	if err != nil {
		return 1, err
	}
	return run(), nil
}

// With userns-remap the root of a container is nobody on the host; what it has
// from the engine is its own.
func TestUserNamespaces(t *testing.T) {
	e := engine(t, "--userns-remap", "alice")
	for _, tc := range []struct {
		name, want string
		args       []string
	}{
		{"map", "0 100000 65536", []string{"busybox", "sh", "-c", "cat /proc/self/uid_map | tr -s ' ' | sed 's/^ //'"}},
		{"image and files", "0\n0\n0\n0", []string{"busybox", "sh", "-c", "touch /new; stat -c %u / /bin/busybox /new /etc/hosts"}},
		{"volume", "0 0\n0 0\n33", []string{"-v", "vol:/v", "busybox", "sh", "-c", "touch /v/a; stat -c '%u %g' /v /v/a; chown 33 /v/a; stat -c %u /v/a"}},
		{"image mount", "0", []string{"--mount", "type=image,src=busybox,dst=/m", "busybox", "stat", "-c", "%u", "/m/etc/passwd"}},
		{"tmpfs", "0", []string{"--read-only", "--tmpfs", "/t", "busybox", "sh", "-c", "touch /t/x; stat -c %u /t/x"}},
		{"own network in /sys", "eth0\nlo", []string{"busybox", "ls", "/sys/class/net"}},
		{"sysctl", "77\n0", []string{"--sysctl", "net.core.somaxconn=77", "busybox", "cat", "/proc/sys/net/core/somaxconn", "/proc/sys/net/ipv4/ip_unprivileged_port_start"}},
		{"no network", "lo", []string{"--network", "none", "busybox", "ls", "/sys/class/net"}},
		{"device", "crw", []string{"--device", "/dev/null:/dev/x", "busybox", "sh", "-c", "ls -l /dev/x | cut -c1-3; echo y >/dev/x"}},
		{"other user with init", "uid=1000(user)", []string{"--init", "-u", "user", "busybox", "sh", "-c", "id | cut -d' ' -f1"}},
		{"opt-out", "0 0 4294967295\n33", []string{"--userns", "host", "-v", "vol:/v", "busybox", "sh", "-c", "cat /proc/self/uid_map | tr -s ' ' | sed 's/^ //'; stat -c %u /v/a"}},
		{"privileged opt-out", "0 0 4294967295", []string{"--userns", "host", "--privileged", "busybox", "sh", "-c", "cat /proc/self/uid_map | tr -s ' ' | sed 's/^ //'"}},
		{"privileged", "privileged mode is incompatible with user namespaces", []string{"--privileged", "busybox", "true"}},
		{"host network", "cannot share the host's network namespace when user namespaces are enabled", []string{"--network", "host", "busybox", "true"}},
		{"host processes", "cannot share the host PID namespace when user namespaces are enabled", []string{"--pid", "host", "busybox", "true"}},
	} {
		if r := e.Docker(append([]string{"run", "--rm"}, tc.args...)...); r.Out != tc.want+"\n" && (r.Code == 0 || !strings.Contains(r.Err, tc.want)) {
			t.Errorf("%s: %+v, want %q", tc.name, r, tc.want)
		}
	}
	// On disk a volume has the IDs that containers know, whatever the map.
	if owner(t, filepath.Join(e.DataRoot, "volumes/vol/_data/a")) != 33 {
		t.Error("the volume's file has another owner on disk")
	}
	// What is the host's is not theirs.
	if r := e.Docker("run", "--rm", "-v", e.Dir+":/host", "busybox", "touch", "/host/x"); !strings.Contains(r.Err, "Permission denied") {
		t.Error(r)
	}
	if !strings.Contains(e.DockerOK("info", "-f", "{{.SecurityOptions}}"), "name=userns") {
		t.Error("info does not tell")
	}
}

func owner(t *testing.T, path string) uint32 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Uid
}

// Files, execs and shared namespaces of a container with a user namespace, also
// after a restart of the engine with another map.
func TestUserNamespaceOfRunning(t *testing.T) {
	e := engine(t, "--userns-remap", "alice")
	e.DockerOK("run", "-d", "--name", "one", "--ipc", "shareable", "busybox", "sleep", "300")
	pid := e.DockerOK("inspect", "-f", "{{.State.Pid}}", "one")
	if got := owner(t, "/proc/"+pid); got != 100000 {
		t.Errorf("on the host it belongs to %d", got)
	}
	source := filepath.Join(e.Dir, "file")
	if err := os.WriteFile(source, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	copies := func() {
		t.Helper()
		e.DockerOK("cp", source, "one:/tmp/copied")
		e.DockerOK("exec", "one", "sh", "-c", "echo y > /etc/new; chown 7:8 /tmp/copied")
		if got := e.DockerOK("exec", "-u", "user", "one", "sh", "-c", "id -u; stat -c '%u %g' /tmp/copied /etc/new"); got != "1000\n7 8\n0 0" {
			t.Error(got)
		}
		for _, command := range []string{"docker cp one:/tmp/copied - | tar -tvnf -", "docker export one | tar -tvnf - tmp/copied"} {
			out, err := e.Command("sh", "-c", command).CombinedOutput()
			if err != nil || !strings.Contains(string(out), " 7/8 ") {
				t.Errorf("%s: %v: %s", command, err, out)
			}
		}
	}
	copies()
	if got := e.DockerOK("run", "--rm", "--pid", "container:one", "--network", "container:one", "--ipc", "container:one", "busybox", "sh", "-c", "ps | grep -c 'sleep 300'; touch /x; stat -c %u /x /bin"); !strings.HasSuffix(got, "\n0\n0") {
		t.Error(got)
	}
	e.Kill()
	e.Flags = nil
	e.Start()
	copies()
	e.DockerOK("stop", "-t", "0", "one")
	e.DockerOK("start", "one") // now without a map, on the same files
	copies()
	if got := e.DockerOK("commit", "one", "committed:1"); !strings.HasPrefix(got, "sha256:") {
		t.Error(got)
	}
	if got := e.DockerOK("run", "--rm", "committed:1", "stat", "-c", "%u %g", "/tmp/copied", "/etc/new"); got != "7 8\n0 0" {
		t.Error(got)
	}
}
