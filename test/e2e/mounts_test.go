package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// The owner of a bind's source is a user of the container, and what that one
// writes is the owner's.
func TestBindIDMapping(t *testing.T) {
	e := engine(t)
	dir := filepath.Join(e.Dir, "owned")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct {
		name string
		uid  int
	}{{"", 4321}, {"theirs", 4321}, {"roots", 0}} {
		name := filepath.Join(dir, f.name)
		if f.name != "" {
			if err := os.WriteFile(name, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chown(name, f.uid, f.uid); err != nil {
			t.Fatal(err)
		}
	}
	bind := "type=bind,src=" + dir + ",dst=/m"
	const script = "id -un; stat -c '%u %g' /m /m/theirs /m/roots; touch /m/new-$(id -un)"
	for _, tc := range []struct {
		client func(...string) harness.Result
		args   []string
		want   string
	}{
		{e.Berth, []string{"-u", "user", "--mount", bind + ",bind-idmap"}, "user\n1000 1000\n1000 1000\n0 0\n"},
		{e.Docker, []string{"-u", "user", "--mount", bind, "--annotation", "berth.idmap:/m=match-user"}, "user\n1000 1000\n1000 1000\n0 0\n"},
		{e.Berth, []string{"--mount", bind + ",bind-idmap=match-user:user"}, "root\n1000 1000\n1000 1000\n0 0\n"},
		{e.Berth, []string{"--mount", bind + ",bind-idmap"}, "root\n0 0\n0 0\n4321 4321\n"},
		{e.Berth, []string{"--mount", bind + ",bind-idmap=match-user:nobody-here"}, "unable to find user nobody-here"},
		{e.Berth, []string{"--mount", bind + ",bind-idmap=userns"}, "needs a container with a user namespace"},
		{e.Docker, []string{"--annotation", "berth.idmap:/m=match-user"}, "no bind is mounted there"},
	} {
		r := tc.client(append(append([]string{"run", "--rm"}, tc.args...), "busybox", "sh", "-c", script)...)
		if !strings.Contains(r.Out+r.Err, tc.want) {
			t.Errorf("%v: %+v, want %q", tc.args, r, tc.want)
		}
	}
	if got := owner(t, filepath.Join(dir, "new-user")); got != 4321 {
		t.Errorf("what the user wrote belongs to %d", got)
	}
	// By the API's field; inspect has what create takes.
	status, body, err := e.Do("POST", "/containers/create?name=one", fmt.Sprintf(
		`{"Image":"busybox","User":"user","Cmd":["stat","-c","%%u","/m"],"HostConfig":{"Mounts":[{"Type":"bind","Source":%q,"Target":"/m","BindOptions":{"IDMapping":{"Source":"match-user"}}}]}}`, dir))
	if err != nil || status != 201 {
		t.Fatal(status, body, err)
	}
	if got := e.DockerOK("start", "-a", "one"); got != "1000" {
		t.Error(got)
	}
	if got := e.DockerOK("inspect", "-f", `{{index .HostConfig.Annotations "berth.idmap:/m"}}`, "one"); got != "match-user" {
		t.Error(got)
	}
}

// A bind spreads mounts as its propagation says, from a mount that spreads them,
// and is read-only below as far as it was asked.
func TestBindPropagation(t *testing.T) {
	e := engine(t)
	dir := filepath.Join(e.Dir, "tree")
	sub := filepath.Join(dir, "sub")
	for _, at := range []string{dir, sub} {
		if err := os.Mkdir(at, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("tree", at, "tmpfs", 0, "size=64k"); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := syscall.Unmount(at, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		}()
	}
	run := func(options, script string) string {
		r := e.Docker("run", "--rm", "--mount", "type=bind,src="+dir+",dst=/m"+options, "busybox", "sh", "-c", script)
		return r.Out + r.Err
	}
	want := "path " + dir + " is mounted on " + dir + " but it is not a shared"
	for propagation, end := range map[string]string{"shared": " mount", "rshared": " mount", "slave": " or slave mount", "rslave": " or slave mount"} {
		if got := run(",bind-propagation="+propagation, "true"); !strings.Contains(got, want+end) {
			t.Errorf("%s: %s", propagation, got)
		}
	}
	if err := syscall.Mount("", dir, "", syscall.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	for propagation, tag := range map[string]string{"shared": "shared:", "rslave": "master:", "rprivate": "-", "": "-"} {
		options := ""
		if propagation != "" {
			options = ",bind-propagation=" + propagation
		}
		if got := run(options, "grep ' /m ' /proc/self/mountinfo | cut -d' ' -f7"); !strings.HasPrefix(got, tag) {
			t.Errorf("%q: %s, want %s", propagation, got, tag)
		}
	}
	for recursive, writes := range map[string]string{"enabled": "no no", "writable": "no yes", "readonly,bind-propagation=rprivate": "no no", "disabled": "no none"} {
		got := run(",readonly,bind-recursive="+recursive, `touch /m/x 2>/dev/null && a=yes || a=no; touch /m/sub/x 2>/dev/null && b=yes || b=no; grep -q ' /m/sub ' /proc/mounts || b=none; echo $a $b`)
		if strings.TrimSpace(got) != writes {
			t.Errorf("%s: %s, want %s", recursive, got, writes)
		}
	}
	if r := e.Docker("run", "--rm", "--mount", "type=bind,src="+e.DataRoot+",dst=/m,bind-propagation=rprivate", "busybox", "true"); !strings.Contains(r.Err, `must use either propagation mode "rslave" or "rshared" when mount source is within the daemon root`) {
		t.Error(r)
	}
}

// Devices that a CDI file describes, with the hook and the mount that come with them.
func TestCDI(t *testing.T) {
	dir := t.TempDir()
	hook := filepath.Join(dir, "hook")
	file := fmt.Sprintf(`{"cdiVersion":"0.6.0","kind":"acme.com/thing","devices":[{"name":"zero","containerEdits":{"deviceNodes":[{"path":"/dev/acme0","hostPath":"/dev/zero"}],"env":["ACME=zero"]}}],
"containerEdits":{"mounts":[{"hostPath":%q,"containerPath":"/acme","options":["ro","rbind"]}],"hooks":[{"hookName":"createRuntime","path":%q}]}}`, dir, hook)
	for name, text := range map[string]string{"acme.json": file, "hook": "#!/bin/sh\ntouch " + dir + "/ran\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	e := engine(t, "--cdi-spec-dir", dir)
	each(t, e, func(t *testing.T, client func(...string) harness.Result) {
		r := client("run", "--rm", "--device", "acme.com/thing=zero", "busybox", "sh", "-c", "head -c 3 /dev/acme0 | wc -c; echo $ACME; ls /acme/acme.json")
		if r.Out != "3\nzero\n/acme/acme.json\n" {
			t.Error(r)
		}
		if _, err := os.Stat(filepath.Join(dir, "ran")); err != nil {
			t.Error(err)
		}
		for flag, want := range map[string]string{"--device=acme.com/thing=one": "unresolvable CDI devices acme.com/thing=one", "--gpus=all": `could not select device driver "" with capabilities: [[gpu]]`} {
			if r := client("run", "--rm", flag, "busybox", "true"); r.Code == 0 || !strings.Contains(r.Err, want) {
				t.Error(flag, r)
			}
		}
	})
	if got := e.DockerOK("info", "-f", "{{.CDISpecDirs}}"); got != "["+dir+"]" {
		t.Error(got)
	}
}
