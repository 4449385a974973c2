package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-containers/berth/test/harness"
)

// runCase is one `run --rm`: what it prints and its exit code.
type runCase struct {
	name string
	args []string // between "run --rm" and the end
	want string   // in the output
	code int
}

func runAll(t *testing.T, e *harness.Engine, cases []runCase) {
	t.Helper()
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			r := e.Berth(append([]string{"run", "--rm"}, tc.args...)...)
			if r.Code != tc.code || !strings.Contains(r.Out+r.Err, tc.want) {
				t.Fatalf("exit %d (want %d), want %q in\nout: %s\nerr: %s", r.Code, tc.code, tc.want, r.Out, r.Err)
			}
		})
	}
	if left := e.OK("ps", "-aq"); left != "" {
		t.Errorf("--rm left containers: %s", left)
	}
}

func TestRun(t *testing.T) {
	e := engine(t)
	dir := t.TempDir()
	envFile := filepath.Join(dir, "env")
	if err := os.WriteFile(envFile, []byte("# comment\nFROMFILE=yes\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hello"), []byte("from the host\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	runAll(t, e, []runCase{
		{"output", []string{"busybox", "echo", "hi"}, "hi", 0},
		{"exit code", []string{"busybox", "sh", "-c", "exit 42"}, "", 42},
		{"killed by itself", []string{"busybox", "sh", "-c", "kill -9 $$; sleep 9"}, "", 0},
		{"signal to a child", []string{"--init", "busybox", "sh", "-c", "kill -9 $$"}, "", 137},
		{"stderr", []string{"busybox", "sh", "-c", "echo oops >&2"}, "oops", 0},
		{"missing command", []string{"busybox", "nosuch"}, `exec: "nosuch": executable file not found in $PATH`, 127},
		{"missing path", []string{"busybox", "/no/such"}, "/no/such", 127},
		{"not executable", []string{"busybox", "/etc/notprogram"}, "permission denied", 126},
		{"env", []string{"-e", "A=b c", "busybox", "sh", "-c", "echo [$A]"}, "[b c]", 0},
		{"env file", []string{"--env-file", envFile, "busybox", "env"}, "FROMFILE=yes", 0},
		{"workdir", []string{"-w", "/var/new", "busybox", "pwd"}, "/var/new", 0},
		{"user by name", []string{"-u", "user", "busybox", "id"}, "uid=1000(user) gid=1000(user)", 0},
		{"supplementary groups", []string{"-u", "user", "busybox", "id"}, "50(staff)", 0},
		{"user and group by number", []string{"-u", "7:8", "busybox", "id"}, "uid=7 gid=8", 0},
		{"home of the user", []string{"-u", "user", "busybox", "sh", "-c", "echo $HOME"}, "/home/user", 0},
		{"unknown user", []string{"-u", "nobodyhere", "busybox", "id"}, "nobodyhere", 125},
		{"hostname", []string{"-h", "box", "busybox", "hostname"}, "box", 0},
		{"entrypoint", []string{"--entrypoint", "echo", "busybox", "from", "echo"}, "from echo", 0},
		{"bind", []string{"-v", dir + ":/data", "busybox", "cat", "/data/hello"}, "from the host", 0},
		{"bind read-only", []string{"-v", dir + ":/data:ro", "busybox", "touch", "/data/x"}, "Read-only file system", 1},
		{"mount", []string{"--mount", "type=bind,src=" + dir + ",dst=/data,readonly", "busybox", "cat", "/data/hello"}, "from the host", 0},
		{"mount of a missing source", []string{"--mount", "type=bind,src=/no/such,dst=/data", "busybox", "true"}, "/no/such", 125},
		{"tmpfs", []string{"--tmpfs", "/scratch:size=1m", "busybox", "sh", "-c", "grep ' /scratch ' /proc/mounts"}, "tmpfs", 0},
		{"read-only root", []string{"--read-only", "busybox", "touch", "/x"}, "Read-only file system", 1},
		{"writable root", []string{"busybox", "sh", "-c", "echo x > /x && cat /x"}, "x", 0},
		{"no network", []string{"--network", "none", "busybox", "ls", "/sys/class/net"}, "lo", 0},
		{"host network", []string{"--network", "host", "busybox", "ls", "/sys/class/net"}, "lo", 0},
	})
}

// What a container may do and how much of it.
func TestConfinement(t *testing.T) {
	e := engine(t)
	runAll(t, e, []runCase{
		{"default capabilities", []string{"busybox", "grep", "CapEff", "/proc/self/status"}, "00000000a80425fb", 0},
		{"capability added", []string{"--cap-drop", "ALL", "--cap-add", "NET_ADMIN", "busybox", "grep", "CapEff", "/proc/self/status"}, "0000000000001000", 0},
		{"no-new-privileges", []string{"--security-opt", "no-new-privileges", "busybox", "grep", "NoNewPrivs", "/proc/self/status"}, "NoNewPrivs:\t1", 0},
		{"seccomp on", []string{"busybox", "grep", "Seccomp:", "/proc/self/status"}, "Seccomp:\t2", 0},
		{"seccomp off", []string{"--security-opt", "seccomp=unconfined", "busybox", "grep", "Seccomp:", "/proc/self/status"}, "Seccomp:\t0", 0},
		{"mount refused", []string{"busybox", "mount", "-t", "tmpfs", "x", "/tmp"}, "permission denied", 1},
		{"privileged", []string{"--privileged", "busybox", "mount", "-t", "tmpfs", "x", "/tmp"}, "", 0},
		{"masked", []string{"busybox", "sh", "-c", "cat /proc/keys | wc -c; ls /proc/acpi /proc/scsi | wc -l"}, "0", 0},
		{"proc/sys read-only", []string{"busybox", "sh", "-c", "echo 1 > /proc/sys/kernel/panic"}, "Read-only file system", 1},
		{"device", []string{"--device", "/dev/zero:/dev/nil", "busybox", "sh", "-c", "head -c 4 /dev/nil | xxd -p"}, "00000000", 0},
		{"memory", []string{"-m", "32m", "busybox", "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}, "33554432", 0},
		{"pids", []string{"--pids-limit", "50", "busybox", "cat", "/sys/fs/cgroup/pids/pids.max"}, "50", 0},
		{"cpus", []string{"--cpus", "0.5", "busybox", "cat", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"}, "50000", 0},
		{"cpu shares", []string{"--cpu-shares", "512", "busybox", "cat", "/sys/fs/cgroup/cpu/cpu.shares"}, "512", 0},
		{"cpuset", []string{"--cpuset-cpus", "0", "busybox", "grep", "Cpus_allowed_list", "/proc/self/status"}, "Cpus_allowed_list:\t0\n", 0},
		{"ulimit", []string{"--ulimit", "nofile=100:200", "busybox", "sh", "-c", "ulimit -n; ulimit -Hn"}, "100\n200", 0},
		{"shm size", []string{"--shm-size", "8m", "busybox", "sh", "-c", "df -k /dev/shm | tail -1"}, "8192", 0},
		{"sysctl", []string{"--sysctl", "net.ipv4.ip_default_ttl=33", "busybox", "cat", "/proc/sys/net/ipv4/ip_default_ttl"}, "33", 0},
		{"init", []string{"--init", "busybox", "sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline"}, "docker-init", 0},
		{"host pid", []string{"--pid", "host", "busybox", "sh", "-c", "tr '\\\\0' ' ' < /proc/1/cmdline"}, "e2e.test", 0},
		{"host uts", []string{"--uts", "host", "busybox", "hostname"}, hostname(t), 0},
		{"add-host", []string{"--add-host", "db:10.1.2.3", "busybox", "grep", "db", "/etc/hosts"}, "10.1.2.3", 0},
		{"dns", []string{"--dns", "192.0.2.1", "--dns-search", "example.org", "busybox", "cat", "/etc/resolv.conf"}, "nameserver 192.0.2.1", 0},
		{"stdout can be opened again", []string{"-u", "user", "busybox", "sh", "-c", "echo again > /dev/stdout"}, "again", 0},
		{"label and expose", []string{"--label", "a=b", "--expose", "80", "busybox", "true"}, "", 0},
		{"mountinfo names the container", []string{"busybox", "cat", "/proc/1/mountinfo"}, "/hostname", 0},
	})
}

func hostname(t *testing.T) string {
	t.Helper()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestStdin(t *testing.T) {
	e := engine(t)
	r := e.WithInput("one\ntwo\n", "run", "--rm", "-i", "busybox", "wc", "-l")
	if strings.TrimSpace(r.Out) != "2" {
		t.Fatalf("half-close of stdin: %+v", r)
	}
	if r := e.WithInput("never seen\n", "run", "--rm", "busybox", "wc", "-l"); strings.TrimSpace(r.Out) != "0" {
		t.Fatalf("stdin without -i: %+v", r)
	}
}

func TestOutOfMemory(t *testing.T) {
	e := engine(t)
	r := e.Berth("run", "--name", "hog", "-m", "16m", "--memory-swap", "16m", "busybox", "sh", "-c", "x=a; while :; do x=$x$x; done")
	if r.Code != 137 {
		t.Errorf("exit %d; want 137: %s", r.Code, r.Err)
	}
	if got := e.OK("inspect", "--format", "{{.State.OOMKilled}}", "hog"); got != "true" {
		t.Errorf("OOMKilled = %s", got)
	}
}

func TestLifecycle(t *testing.T) {
	e := engine(t)
	id := e.OK("create", "--name", "life", "busybox", "sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.1; done")
	if got := e.OK("inspect", "-f", "{{.State.Status}}", "life"); got != "created" {
		t.Fatalf("state %s", got)
	}
	e.OK("start", "life")
	harness.Eventually(t, "its first line", func() bool { return e.OK("logs", "life") == "up" })
	if out := e.OK("top", "life"); !strings.Contains(out, "sleep") {
		t.Errorf("top: %s", out)
	}
	if out := e.OK("ps", "--no-trunc", "-q"); out != id {
		t.Errorf("ps: %s", out)
	}
	if r := e.Berth("rm", "life"); r.Code == 0 || !strings.Contains(r.Err, "running") {
		t.Errorf("rm of a running container: %+v", r)
	}
	e.OK("stop", "life")
	if got := e.OK("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "life"); got != "exited 7" {
		t.Errorf("after stop: %s", got)
	}
	e.OK("start", "life")
	e.OK("kill", "life")
	if got := e.OK("wait", "life"); got != "137" {
		t.Errorf("wait: %s", got)
	}
	e.OK("rm", "life")
	if r := e.Berth("inspect", "life"); r.Code == 0 {
		t.Error("inspect finds a removed container")
	}
}

func TestExec(t *testing.T) {
	e := engine(t)
	e.OK("run", "-d", "--name", "cc", "-e", "A=b", "busybox", "sleep", "1000")
	for _, tc := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{"cc", "sh", "-c", "echo $A; hostname"}, "b\n", 0},
		{[]string{"-e", "X=y", "-w", "/tmp", "-u", "user", "cc", "sh", "-c", "echo $X $(pwd) $(id -u)"}, "y /tmp 1000", 0},
		{[]string{"cc", "sh", "-c", "exit 9"}, "", 9},
		{[]string{"cc", "nosuch"}, "executable file not found", 127},
		{[]string{"cc", "/etc/notprogram"}, "permission denied", 126},
		{[]string{"cc", "grep", "Seccomp:", "/proc/self/status"}, "Seccomp:\t2", 0},
		{[]string{"cc", "ls", "/proc/self/fd"}, "0\n1\n2\n3\n", 0},
	} {
		r := e.Berth(append([]string{"exec"}, tc.args...)...)
		if r.Code != tc.code || !strings.Contains(r.Out+r.Err, tc.want) {
			t.Errorf("exec %v: exit %d (want %d), want %q in %q %q", tc.args, r.Code, tc.code, tc.want, r.Out, r.Err)
		}
	}
	if r := e.WithInput("a\nb\nc\n", "exec", "-i", "cc", "wc", "-l"); strings.TrimSpace(r.Out) != "3" {
		t.Errorf("exec -i: %+v", r)
	}
}

func TestLogs(t *testing.T) {
	e := engine(t)
	for _, driver := range []string{"ring", "json-file"} {
		t.Run(driver, func(t *testing.T) {
			name := "l-" + driver
			e.OK("run", "-d", "--name", name, "--log-driver", driver, "busybox", "sh", "-c", "for i in 1 2 3; do echo line $i; done; printf partial; sleep 1000")
			follow := e.Command("berth", "logs", "-f", name)
			var out strings.Builder
			follow.Stdout = &out
			if err := follow.Start(); err != nil {
				t.Fatal(err)
			}
			harness.Eventually(t, "three lines", func() bool { return strings.Count(e.OK("logs", name), "line") == 3 })
			if got := e.OK("logs", "--tail", "1", name); !strings.Contains(got, "line 3") && !strings.Contains(got, "partial") {
				t.Errorf("tail: %q", got)
			}
			e.OK("kill", name)
			if err := follow.Wait(); err != nil {
				t.Errorf("logs -f: %v", err)
			}
			if want := "line 1\nline 2\nline 3\npartial"; strings.TrimSpace(out.String()) != want {
				t.Errorf("logs -f: %q", out.String())
			}
			if got := e.OK("logs", "-t", "--tail", "all", name); !strings.Contains(got, time.Now().UTC().Format("2006-")) {
				t.Errorf("timestamps: %s", got)
			}
		})
	}
	e.OK("run", "--name", "l-none", "--log-driver", "none", "busybox", "echo", "x")
	if r := e.Berth("logs", "l-none"); r.Code == 0 {
		t.Error("logs of the driver none succeeded")
	}
}

func TestRestartPolicies(t *testing.T) {
	e := engine(t)
	e.OK("run", "-d", "--name", "twice", "--restart", "on-failure:2", "busybox", "false")
	harness.Eventually(t, "two restarts", func() bool {
		return e.OK("inspect", "-f", "{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}", "twice") == "2 exited 1"
	})
	e.OK("run", "-d", "--name", "always", "--restart", "always", "busybox", "sh", "-c", "sleep 0.1; exit 3")
	harness.Eventually(t, "the second restart", func() bool {
		return e.OK("inspect", "-f", "{{.RestartCount}}", "always") >= "2"
	})
	e.OK("stop", "-t", "0", "always") // by the user: stays down
	if got := e.OK("inspect", "-f", "{{.State.Status}}", "always"); got != "exited" {
		t.Errorf("after stop: %s", got)
	}
}

func TestVolumes(t *testing.T) {
	e := engine(t)
	e.OK("run", "--rm", "-v", "kept:/data", "busybox", "sh", "-c", "echo hi > /data/f")
	if got := e.OK("run", "--rm", "-v", "kept:/data:ro", "busybox", "cat", "/data/f"); got != "hi" {
		t.Errorf("volume: %q", got)
	}
	e.OK("run", "--rm", "-v", "/anon", "busybox", "true")
	if got := e.OK("volume", "ls", "-q"); got != "kept" {
		t.Errorf("volumes: %q", got)
	}
	missing := filepath.Join(t.TempDir(), "made")
	e.OK("run", "--rm", "-v", missing+":/x", "busybox", "touch", "/x/y")
	if _, err := os.Stat(filepath.Join(missing, "y")); err != nil {
		t.Error(err)
	}
	e.OK("volume", "rm", "kept")
}

func TestHostImage(t *testing.T) {
	e := engine(t)
	mark := filepath.Join("/var/tmp", filepath.Base(e.Dir))
	if got := e.OK("run", "--rm", "host", "sh", "-c", "echo x > "+mark+" && cat /etc/os-release"); !strings.Contains(got, "NAME=") {
		t.Errorf("host: %q", got)
	}
	if _, err := os.Stat(mark); err == nil {
		os.Remove(mark)
		t.Error("a write in host reached the host")
	}
	for _, secret := range []string{"/etc/shadow", e.DataRoot + "/engine.db"} {
		if r := e.Berth("run", "--rm", "host", "cat", secret); r.Code == 0 {
			t.Errorf("%s can be read in host", secret)
		}
	}
	if r := e.Berth("rmi", "host"); r.Code == 0 {
		t.Error("the image host was removed")
	}
}
