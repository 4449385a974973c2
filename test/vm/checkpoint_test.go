package vm

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// criuPrograms are criu, of which Debian's does not start on every newer host's
// kernel, and what it calls: GNU's tar and iproute2's ip.
var criuPrograms = []string{"criu", "tar", "ip"}

// checkpointLibrary has a container that counts, on an overlay, with volumes of
// one filesystem of which two are read-only.
const checkpointLibrary = `
last() { tail -n 1 $1; }
counts() { a=$(grep -c . $1); for i in $(seq 150); do sleep 0.2; [ $(grep -c . $1) -gt $((a+2)) ] && echo "counts on" && return; done; echo "stands at $a: $(last $1)"; }
pid() { berth-runtime state $1 | sed -n 's/.*"pid": \([0-9]*\).*/\1/p'; }
mounts() { cut -d' ' -f5,6 /proc/$1/mountinfo | sort; }
groups() { cd /sys/fs/cgroup && echo $(ls -d one* elsewhere* 2>/dev/null) end; cd /c; }
bundle() {
	mkdir -p /c/up /c/work /c/rootfs /c/vol1 /c/vol2 /c/vol3 && cd /c
	mount -t overlay -o lowerdir=/image,upperdir=/c/up,workdir=/c/work overlay /c/rootfs
	mkdir -p rootfs/vol1 rootfs/vol2 rootfs/vol3
	berth-runtime spec
	sed -i 's/"terminal": true/"terminal": false/; s/"sh"/"sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"/; s/"devices": \[/"memory": {"limit": 33554432}, &/
s|"mounts": \[|&{"destination":"/vol1","type":"bind","source":"/c/vol1","options":["bind","ro","nosuid"]},{"destination":"/vol2","type":"bind","source":"/c/vol2","options":["bind","ro","nodev"]},{"destination":"/vol3","type":"bind","source":"/c/vol3","options":["bind"]},|' config.json
}
`

var checkpointChecks = []check{
	{"criu itself", "criu check 2>&1 | tail -n 1", "Looks good"},
	{"checkpoint of one that runs on", ". /checkpoint; bundle; berth-runtime run -d one < /dev/null > out 2>&1; counts out; mounts $(pid one) > before; berth-runtime checkpoint --leave-running --image-path /c/first one 2>&1 && counts out; berth-runtime pause one; berth-runtime resume one",
		"counts on\ncounts on\n"},
	{"checkpoint", ". /checkpoint; cd /c; berth-runtime checkpoint --pre-dump --image-path /c/pre one 2>&1 && counts out; berth-runtime checkpoint --image-path /c/images --parent-path ../pre --work-path /c/logs one 2>&1; berth-runtime list -q; groups; last out > stopped",
		"counts on\nend\n"},
	{"restore", ". /checkpoint; cd /c; berth-runtime restore -d --pid-file pid --image-path /c/images --work-path /c/logs one < /dev/null >> out 2>&1; [ $(pid one) = $(cat pid) ] && echo pid; counts out; [ $(last out) -gt $(cat stopped) ] && [ $(grep -cx 1 out) = 1 ] && echo goes on; mounts $(pid one) | diff before - && echo same mounts; cat /sys/fs/cgroup/one/memory.max; grep -c . /sys/fs/cgroup/one/cgroup.procs",
		"pid\ncounts on\ngoes on\nsame mounts\n33554432\n2\n"},
	{"a restored container", ". /checkpoint; berth-runtime exec one sh -c 'echo x > /vol3/x && echo written; echo x > /vol1/x; echo x > /vol2/x; cat /proc/self/cgroup; cat /proc/1/comm' 2>&1; berth-runtime delete -f one; groups",
		"written\nsh: can't create /vol1/x: Read-only file system\nsh: can't create /vol2/x: Read-only file system\n0::/\nsh\nend\n"},
	{"checkpoint with pipes", ". /checkpoint; cd /c; : > piped; berth-runtime run two < /dev/null 2>&1 | cat >> piped & counts piped; berth-runtime checkpoint --image-path /c/pipes two 2>&1; wait; groups",
		"counts on\nend\n"},
	{"restore that waits", ". /checkpoint; cd /c; a=$(last piped); (berth-runtime restore --image-path /c/pipes two < /dev/null 2>&1; echo $? > code) | cat >> piped & counts piped; [ $(last piped) -gt $a ] && echo goes on; berth-runtime kill two KILL; wait; cat code; berth-runtime list -q; groups",
		"counts on\ngoes on\n137\nend\n"},
	{"restore as another", `. /checkpoint; cd /c; sed -i 's|"linux": {|&"cgroupsPath": "/elsewhere",|' config.json; berth-runtime restore -d --image-path /c/pipes three < /dev/null 2>&1 | cat >> piped & counts piped; groups; berth-runtime exec three cat /proc/self/cgroup; berth-runtime delete -f three; groups`,
		"counts on\nelsewhere end\n0::/\nend\n"},
	{"restore into a pipe what was a file", ". /checkpoint; cd /c; berth-runtime restore --image-path /c/first two < /dev/null 2>&1 | cat; groups; umount /c/rootfs",
		"descriptor 1 of the container was a file outside of it: give restore a file there as well\nend\n"},
}

// copyProgram takes a program of the host into the root, with its libraries.
func copyProgram(t *testing.T, root, name string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v: the Makefile's TEST_PACKAGES have it", err)
	}
	must(t, "cp", "-L", "--remove-destination", path, root+"/bin/"+name)
	out, err := exec.Command("ldd", path).Output()
	if err != nil {
		t.Fatalf("ldd %s: %v", path, err)
	}
	for word := range strings.FieldsSeq(string(out)) {
		if strings.HasPrefix(word, "/") {
			must(t, "mkdir", "-p", filepath.Dir(root+word))
			must(t, "cp", "-L", word, root+word)
		}
	}
}
