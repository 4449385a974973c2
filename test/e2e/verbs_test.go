package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// judge runs another program, which must succeed, and returns what it prints.
func judge(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, errs.String())
	}
	return strings.TrimSpace(string(out))
}

// sparse is a layer of a file with holes, and of one whose size is written in
// the form for more than 8 GiB; format is GNU tar's.
func sparse(t *testing.T, format string) []byte {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "holes"))
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{0, 1 << 20, 3 << 20} {
		if _, err := f.WriteAt([]byte("data"), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	packed := judge(t, "sh", "-c", "tar -C "+dir+" --format="+format+" --sparse --owner=0 --group=0 -b1 -cf - holes | base64 -w0")
	big := filepath.Join(dir, "big.tar")
	// The size field is 12 bytes at 124; its first bit says that it is binary.
	script := fmt.Sprintf(`import base64, sys
b = base64.b64decode(%q).rstrip(b"\0")
b += b"\0" * (-len(b) %% 512)
h = bytearray(512)
h[0:3], h[100:107], h[108:115], h[116:123], h[136:147] = b"big", b"0000644", b"0000000", b"0000000", b"14524770400"
h[124:136] = b"\x80" + (5).to_bytes(11, "big")
h[156:157], h[257:265] = b"0", b"ustar  \0"
h[148:156] = b" " * 8
h[148:156] = b"%%06o\0 " %% sum(h)
open(%q, "wb").write(b + bytes(h) + b"large" + b"\0" * 507 + b"\0" * 1024)`, packed, big)
	judge(t, "python3", "-c", script)
	judge(t, "gzip", "-n", big)
	b, err := os.ReadFile(big + ".gz")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Images with all that is awkward go registry → store → save → load → push →
// skopeo, and are then what they were: same digests, and the files that umoci
// unpacks.
func TestWholeWay(t *testing.T) {
	first, second := engine(t), harness.New(t)
	host, dir := harness.Registry(t), t.TempDir()
	fixture := filepath.Join(dir, "fixture.tar")
	if err := os.WriteFile(fixture, harness.Archive(t, "docker.io/library/awkward:1", append(awkward(t), sparse(t, "posix"))...), 0o644); err != nil {
		t.Fatal(err)
	}
	digest := func(name string) string {
		return judge(t, "skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", "docker://"+host+"/"+name)
	}
	for _, kind := range []string{"oci", "v2s2"} {
		name := host + "/" + kind + "/awkward:1"
		judge(t, "skopeo", "copy", "-q", "--dest-tls-verify=false", "--format", kind, "oci-archive:"+fixture, "docker://"+name)
		want := digest(kind + "/awkward:1")
		for _, way := range []struct {
			name          string
			from, to      func(...string) string
			saved, pushed string
		}{
			{"berth", first.OK, second.OK, filepath.Join(dir, kind+"-berth.tar"), host + "/" + kind + "/berth:2"},
			{"docker", first.DockerOK, second.DockerOK, filepath.Join(dir, kind+"-docker.tar"), host + "/" + kind + "/docker:2"},
		} {
			way.from("pull", "-q", name)
			way.from("save", "-o", way.saved, name)
			way.to("load", "-q", "-i", way.saved)
			way.to("tag", name, way.pushed)
			way.to("push", "-q", way.pushed)
			if got := digest(strings.TrimPrefix(way.pushed, host+"/")); got != want {
				t.Errorf("%s, %s: %s came, %s was sent", kind, way.name, got, want)
			}
			layout, bundle := filepath.Join(dir, kind+way.name), filepath.Join(dir, kind+way.name+"-bundle")
			judge(t, "skopeo", "copy", "-q", "--src-tls-verify=false", "docker://"+way.pushed, "oci:"+layout+":1")
			judge(t, "umoci", "unpack", "--image", layout+":1", bundle)
			sameTree(t, bundle+"/rootfs", second.OK("image", "mount", way.pushed))
			way.to("rmi", way.pushed)
			second.OK("image", "unmount", second.OK("image", "mount", "--format", "{{.Dir}}"))
			way.to("rmi", name)
			way.from("rmi", name)
		}
	}
}

func sameTree(t *testing.T, umoci, berth string) {
	t.Helper()
	want, got := tree(t, umoci), tree(t, berth)
	if len(want) < 10 {
		t.Errorf("umoci unpacked only %d files", len(want))
	}
	for name, line := range want {
		if got[name] != line {
			t.Errorf("%s: berth %q, umoci %q", name, got[name], line)
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("%s: umoci has it not", name)
	}
}

func TestLookingIntoImages(t *testing.T) {
	e := engine(t)
	if r := load(t, e, harness.Archive(t, "docker.io/library/awkward:1", awkward(t)...)); r.Code != 0 {
		t.Fatalf("load: %+v", r)
	}
	e.OK("image", "flatten", "awkward:1", "flat:1")
	if got := e.OK("image", "diff", "awkward:1", "flat:1"); got != "" {
		t.Errorf("flattening changed\n%s", got)
	}
	e.OK("run", "--name", "changes", "busybox", "sh", "-c", "rm /etc/group; echo new > /new; echo longer >> /etc/passwd; chmod 700 /root")
	e.OK("commit", "changes", "changed:1")
	// The places of mounts are there, too.
	differences := strings.Split(e.OK("image", "diff", "busybox", "changed:1"), "\n")
	for _, want := range []string{"D /etc/group", "C /etc/passwd (content)", "A /new", "C /root (mode)"} {
		if !slices.Contains(differences, want) {
			t.Errorf("diff lacks %q: %q", want, differences)
		}
	}
	var line struct{ Path, Kind string }
	for text := range strings.Lines(e.OK("image", "diff", "--json", "changed:1", "busybox")) {
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Errorf("diff --json %q: %v", text, err)
		}
		if line.Path == "/etc/group" && line.Kind == "added" {
			break
		}
	}
	if line.Path != "/etc/group" {
		t.Errorf("diff --json ends at %+v", line)
	}
	got := strings.Split(e.OK("image", "tree", "--format", "{{.Layer}} {{.Changed}} {{.Deleted}}", "changed:1"), "\n")
	if len(got) != 2 || got[1] != "2 1 1" {
		t.Errorf("tree %q", got)
	}
	if text := e.OK("image", "tree", "changed:1"); !strings.HasPrefix(text, "changed:1  ") || !strings.Contains(text, "wasted\nLAYER") {
		t.Errorf("tree\n%s", text)
	}
	raw := e.OK("image", "inspect", "--raw", "flat:1")
	if !strings.Contains(raw, "application/vnd.oci.image.manifest") || "sha256:"+harness.Sum([]byte(raw)) != e.OK("image", "inspect", "-f", "{{.Descriptor.Digest}}", "flat:1") {
		t.Errorf("raw %s", raw)
	}
	if config := e.OK("image", "inspect", "--raw=config", "flat:1"); "sha256:"+harness.Sum([]byte(config)) != e.OK("image", "inspect", "-f", "{{.Id}}", "flat:1") {
		t.Errorf("raw configuration %s", config)
	}
	for _, args := range [][]string{{"tree", "nope"}, {"diff", "busybox", "nope"}, {"mount", "nope"}, {"flatten", "nope"}, {"verify", "nope"}, {"inspect", "--raw", "nope"}} {
		if r := e.Berth(append([]string{"image"}, args...)...); r.Code != 1 || r.Err != "Error response from daemon: No such image: nope:latest\n" {
			t.Errorf("%v: %+v", args, r)
		}
	}
	for _, search := range []func(...string) harness.Result{e.Berth, e.Docker} {
		if r := search("search", "busybox"); r.Code != 1 || !strings.Contains(r.Err, "is the registry index.docker.io up and reachable from here?") {
			t.Errorf("search: %+v", r)
		}
	}
}

// What was mounted stays when the image goes and when the engine dies.
func TestMountedImage(t *testing.T) {
	e := engine(t)
	place := t.TempDir()
	own := e.OK("image", "mount", "busybox")
	t.Cleanup(func() { e.OK("image", "unmount", own) })
	if got := e.OK("image", "mount", "busybox", place); got != place {
		t.Errorf("mounted at %s", got)
	}
	e.OK("rmi", "busybox")
	e.Kill()
	e.Start()
	for _, dir := range []string{own, place} {
		if text, err := os.ReadFile(filepath.Join(dir, "www/index.html")); err != nil || string(text) != "hello from a container\n" {
			t.Errorf("%s has %q, %v", dir, text, err)
		}
		if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o644); err == nil {
			t.Errorf("%s can be written", dir)
		}
	}
	if got := strings.Fields(e.OK("image", "mount", "--format", "{{.Dir}}")); len(got) != 2 || !slices.Contains(got, place) {
		t.Errorf("mounts %v", got)
	}
	busy, err := os.Open(place)
	if err != nil {
		t.Fatal(err)
	}
	if r := e.Berth("image", "unmount", place); r.Code != 1 || !strings.Contains(r.Err, "--force") {
		t.Errorf("unmount of one in use: %+v", r)
	}
	busy.Close()
	e.OK("image", "unmount", place)
	if left, _ := os.ReadDir(place); len(left) > 0 {
		t.Error("it is still there")
	}
	if r := e.Berth("image", "unmount", place); r.Code != 1 || !strings.Contains(r.Err, "No such mount") {
		t.Errorf("second unmount: %+v", r)
	}
}

func TestVerifyImages(t *testing.T) {
	e := engine(t)
	if r := load(t, e, harness.Archive(t, "docker.io/library/awkward:1", append(awkward(t), sparse(t, "gnu"))...)); r.Code != 0 {
		t.Fatalf("load: %+v", r)
	}
	if got := e.OK("image", "verify"); strings.Count(got, ": right (") != 2 {
		t.Errorf("verify\n%s", got)
	}
	layer := strings.Split(e.OK("image", "tree", "--no-trunc", "--format", "{{.Digest}}", "awkward:1"), "\n")[0]
	blob := filepath.Join(e.DataRoot, "images/blobs/sha256", strings.TrimPrefix(layer, "sha256:"))
	b, err := os.ReadFile(blob)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(blob, b, 0o644); err != nil {
		t.Fatal(err)
	}
	r := e.Berth("image", "verify", "awkward:1", "busybox")
	if r.Code != 1 || !strings.Contains(r.Out, "awkward:1: layer "+layer+": its ") || !strings.Contains(r.Out, "pull or load it again") ||
		!strings.Contains(r.Out, "busybox:latest: right") || r.Err != "berth: 1 of 2 images are damaged\n" {
		t.Errorf("%+v", r)
	}
}

// Between all kinds of places, with the same digest everywhere.
func TestCopyBetweenPlaces(t *testing.T) {
	e := engine(t)
	host, dir := harness.Registry(t), t.TempDir()
	if r := load(t, e, harness.Archive(t, "docker.io/library/awkward:1", awkward(t)...)); r.Code != 0 {
		t.Fatalf("load: %+v", r)
	}
	want := e.OK("image", "inspect", "-f", "{{.Descriptor.Digest}}", "awkward:1")
	check := func(place string) {
		t.Helper()
		if got := judge(t, "skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", place); got != want {
			t.Errorf("%s has %s, not %s", place, got, want)
		}
	}
	registry, layout, archive := "docker://"+host+"/a/b:1", "oci:"+dir+"/layout:x", "oci-archive:"+dir+"/a.tar"
	for _, step := range []struct{ from, to, look string }{
		{"berth:awkward:1", registry, registry},
		{registry, layout, layout},
		{layout, archive, archive},
		{archive, "oci:" + dir + "/layout:y", "oci:" + dir + "/layout:y"},
		{archive, "docker://" + host + "/c:2", "docker://" + host + "/c:2"},
		{"docker://" + host + "/c:2", "docker://" + host + "/d:3", "docker://" + host + "/d:3"},
		{registry, "docker-archive:" + dir + "/d.tar:given:1", ""},
		{"docker-archive:" + dir + "/d.tar", "berth:again:1", ""},
		{layout, "docker-daemon:more:1", ""},
	} {
		e.OK("image", "copy", step.from, step.to)
		if step.look != "" {
			check(step.look)
		}
	}
	check("oci:" + dir + "/layout:x")
	judge(t, "skopeo", "inspect", "docker-archive:"+dir+"/d.tar:docker.io/library/given:1")
	for _, name := range []string{"again:1", "more:1"} {
		if got := e.OK("image", "inspect", "-f", "{{.Descriptor.Digest}}", name); got != want {
			t.Errorf("%s has %s, not %s", name, got, want)
		}
	}
	if got := e.OK("images", "-q", "a/b"); got != "" {
		t.Errorf("what passed through stays: %s", got)
	}
	for _, bad := range []struct{ from, to, want string }{
		{"awkward:1", registry, `"awkward:1" does not say where it is; it is one of docker://NAME`},
		{"berth:nope", registry, "No such image: nope:latest"},
		{"berth:awkward:1", "oci:", "names nothing"},
		{"oci:" + dir + "/layout", "berth:x", "has 2 images; name one after a colon: x, y"},
		{"oci-archive:" + dir + "/nope.tar", "berth:x", "no such file"},
		{"docker://" + host + "/nope:1", "berth:x", "nope"},
	} {
		if r := e.Berth("image", "copy", bad.from, bad.to); r.Code != 1 || !strings.Contains(r.Err, bad.want) {
			t.Errorf("copy %s %s: %+v", bad.from, bad.to, r)
		}
	}
}

// An image goes to another engine by ssh, and only what that lacks. The ssh of
// the test counts and runs the other side here.
func TestPushOverSSH(t *testing.T) {
	here, there := engine(t), harness.New(t)
	layers := harness.Layers(t, 3, 1_000_000)
	load(t, here, harness.Archive(t, "docker.io/library/big:1", layers...))
	load(t, there, harness.Archive(t, "docker.io/library/base:1", layers[:2]...))
	dir := t.TempDir()
	script, count := filepath.Join(dir, "ssh"), filepath.Join(dir, "count")
	text := fmt.Sprintf("#!/bin/bash\n[ \"$1 $2 $3\" = '-p 2222 me@other' ] || exit 9\nshift 3\nexport BERTH_HOST=unix://%s PATH=%s:$PATH\nexec sh -c \"$*\" < <(tee %s)\n",
		there.Socket, filepath.Dir(harness.Bin(t, "berth")), count)
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BERTH_SSH", script)
	sent := func() int64 {
		info, err := os.Stat(count)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	out := here.OK("image", "push", "ssh://me@other:2222", "big:1")
	if !strings.Contains(out, "Loaded image: big:1") || !strings.Contains(out, "Sent 3 of 5 blobs") {
		t.Errorf("push says\n%s", out)
	}
	if n := sent(); n < 1_000_000 || n > 1_100_000 {
		t.Errorf("%d bytes travelled", n)
	}
	const digest = "{{.Descriptor.Digest}}"
	if a, b := here.OK("image", "inspect", "-f", digest, "big:1"), there.OK("image", "inspect", "-f", digest, "big:1"); a != b {
		t.Errorf("%s came, %s was sent", b, a)
	}
	if out := here.OK("push", "ssh://me@other:2222/"+there.Socket, "big:1"); !strings.Contains(out, "Sent 0 of 5 blobs") || sent() > 20_000 {
		t.Errorf("the second push sent %d bytes and says\n%s", sent(), out)
	}
	for _, bad := range []struct{ to, image, want string }{
		{"ssh://me@other:2222", "nope", "No such image: nope:latest"},
		{"ssh://other", "big:1", "the other side ended early"},
		{"ssh://-oProxyCommand=x", "big:1", "names no host"},
		{"ssh://me:secret@other", "big:1", "no password"},
		{"ssh://me@other:2222/nowhere.sock", "big:1", "the other side ended early"},
	} {
		if r := here.Berth("push", bad.to, bad.image); r.Code != 1 || !strings.Contains(r.Err, bad.want) {
			t.Errorf("push %s %s: %+v", bad.to, bad.image, r)
		}
	}
}

// On a terminal each layer has a row with a bar; elsewhere there is a line for
// each step, and with --quiet only the result.
func TestProgress(t *testing.T) {
	e := engine(t)
	host := harness.Registry(t)
	name := host + "/big:1"
	archive := filepath.Join(t.TempDir(), "big.tar")
	if err := os.WriteFile(archive, harness.Archive(t, name, harness.Layers(t, 3, 30_000_000)...), 0o644); err != nil {
		t.Fatal(err)
	}
	onTerminal := func(args ...string) string {
		t.Helper()
		cmd := e.Command("script", "-qec", "stty cols 100; "+harness.Bin(t, "berth")+" "+strings.Join(args, " "), "/dev/null")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	for _, step := range []struct {
		args []string
		want string // of what moves
	}{
		{[]string{"load", "-i", archive}, `Sending: \[=+>? *\]  [0-9.]+MB/90\.\d+MB`},
		{[]string{"push", name}, `Pushing \[=*>? *\]  [0-9.]+[kM]?B/30MB`},
		{[]string{"pull", name}, `Downloading \[=*>? *\]  [0-9.]+[kM]?B/30MB`},
	} {
		out := onTerminal(step.args...)
		if !regexp.MustCompile(step.want).MatchString(out) || !strings.Contains(out, "\x1b[") {
			t.Errorf("%v shows\n%q", step.args, out)
		}
		if step.args[0] == "push" {
			e.OK("rmi", name)
		}
	}
	e.OK("rmi", name)
	if out := e.OK("pull", name); strings.ContainsAny(out, "\x1b[\r") || !strings.Contains(out, ": Pull complete\n") || strings.Contains(out, "Downloading") {
		t.Errorf("pull prints\n%s", out)
	}
	if out := e.OK("push", "-q", name); out != name {
		t.Errorf("push -q prints %q", out)
	}
	if out := e.OK("pull", "-q", name); out != name {
		t.Errorf("pull -q prints %q", out)
	}
	if out := e.OK("load", "-q", "-i", archive); out != "Loaded image: "+name {
		t.Errorf("load -q prints %q", out)
	}
}

func TestPlatforms(t *testing.T) {
	e := engine(t)
	archive := filepath.Join(t.TempDir(), "a.tar")
	for _, run := range []func(...string) harness.Result{e.Berth, e.Docker} {
		for _, args := range [][]string{
			{"save", "-o", archive, "--platform", "linux/s390x", "busybox"},
			{"image", "inspect", "--platform", "linux/s390x", "busybox"},
			{"history", "--platform", "linux/s390x", "busybox"},
		} {
			r := run(args...)
			if strings.Contains(r.Err, "unknown flag") {
				continue // the stock client of Debian is older than the option
			}
			if r.Code != 1 || !strings.Contains(r.Err, "for linux/s390x") {
				t.Errorf("%v: %+v", args, r)
			}
		}
	}
	e.OK("save", "-o", archive, "--platform", "linux/amd64", "busybox")
	e.OK("load", "-q", "--platform", "linux/amd64", "-i", archive)
	if r := e.Berth("load", "-q", "--platform", "linux/arm64", "-i", archive); r.Code != 1 || !strings.Contains(r.Err, "No such image for linux/arm64") {
		t.Errorf("%+v", r)
	}
}

func TestImportFromAddress(t *testing.T) {
	e := engine(t)
	rootfs, err := harness.BusyboxTar()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/rootfs.tar" {
			_, _ = w.Write(rootfs)
			return
		}
		http.NotFound(w, r)
	}))
	defer server.Close()
	for name, client := range map[string]func(...string) harness.Result{"berth": e.Berth, "docker": e.Docker} {
		if r := client("import", server.URL+"/rootfs.tar", name+":1"); r.Code != 0 {
			t.Errorf("%s import: %+v", name, r)
		}
		if got := e.OK("history", "--format", "{{.Comment}}", name+":1"); got != "Imported from "+server.URL+"/rootfs.tar" {
			t.Errorf("history %q", got)
		}
		if r := client("import", server.URL+"/nope.tar"); r.Code != 1 || !strings.Contains(r.Err, "404 Not Found") {
			t.Errorf("%s import of nothing: %+v", name, r)
		}
	}
}

// Each side of a copy has its own credentials.
func TestCopyWithCredentials(t *testing.T) {
	certificate, key := harness.Certificate(t, harness.SecureAddress)
	t.Setenv("SSL_CERT_FILE", certificate) // for the engine
	e := engine(t)
	private, public := harness.SecureRegistry(t, certificate, key), harness.Registry(t)
	if r := e.Berth("image", "copy", "berth:busybox", "docker://"+private+"/box:1"); r.Code != 1 || !strings.Contains(r.Err, "denied") {
		t.Errorf("copy without a login: %+v", r)
	}
	e.OK("login", "-u", "user", "-p", "secret", private)
	want := e.OK("image", "copy", "-q", "berth:busybox", "docker://"+private+"/box:1")
	for _, step := range [][2]string{
		{"docker://" + private + "/box:1", "docker://" + public + "/box:1"},
		{"docker://" + public + "/box:1", "docker://" + private + "/box:2"},
		{"docker://" + private + "/box:2", "berth:back:1"},
	} {
		if got := e.OK("image", "copy", "-q", step[0], step[1]); got != want {
			t.Errorf("copy %v: %s, not %s", step, got, want)
		}
	}
}
