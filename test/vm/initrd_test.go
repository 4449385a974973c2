package vm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// makeInitrd packs busybox, the built binaries, the kernel's modules for networks
// and overlays, and the checks.
func makeInitrd(t *testing.T, kernel, work string) string {
	t.Helper()
	root := filepath.Join(work, "root")
	must(t, "mkdir", "-p", root+"/bin", root+"/sbin", root+"/etc", root+"/proc", root+"/sys", root+"/dev", root+"/tmp",
		root+"/run", root+"/data", root+"/var/lib", root+"/var/tmp", root+"/new", root+"/image", root+"/root")
	image, err := harness.BusyboxTar()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+"/busybox.tar", image, 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, "tar", "-C", root+"/image", "-xf", root+"/busybox.tar")
	must(t, "cp", "-a", root+"/image/bin/.", root+"/bin/")
	for _, name := range []string{"berth", "berthd", "berth-shim", "berth-runtime", "berth-init"} {
		must(t, "cp", harness.Bin(t, name), root+"/bin/"+name)
	}
	compile(t, root+"/bin")
	for _, name := range append([]string{"mkfs.ext4"}, criuPrograms...) {
		copyProgram(t, root, name)
	}
	if err := os.WriteFile(root+"/checkpoint", []byte(checkpointLibrary), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, "ln", "-s", "/bin/busybox", root+"/sbin/modprobe")
	copyModules(t, kernel, root)
	if err := os.WriteFile(root+"/init", []byte(stageOne), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+"/checks", []byte(script()), 0o755); err != nil {
		t.Fatal(err)
	}
	initrd := filepath.Join(work, "initrd")
	must(t, "sh", "-c", fmt.Sprintf("cd %s && find . | busybox cpio -o -H newc 2>/dev/null > %s", root, initrd))
	return initrd
}

func copyModules(t *testing.T, kernel, root string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(kernel, "release"))
	if err != nil {
		t.Fatal(err)
	}
	release := strings.TrimSpace(string(b))
	to := root + "/lib/modules/" + release
	for _, dir := range []string{"fs/overlayfs", "net/bridge", "net/802", "net/llc", "net/netfilter", "net/ipv4", "net/ipv6", "net/unix", "net/netlink", "net/packet", "drivers/net", "drivers/block", "fs/fuse", "fs/quota", "block", "lib"} {
		from := filepath.Join(kernel, "modules/kernel", dir)
		if _, err := os.Stat(from); err != nil {
			continue
		}
		must(t, "mkdir", "-p", filepath.Dir(to+"/kernel/"+dir))
		must(t, "cp", "-a", from, to+"/kernel/"+dir)
	}
	must(t, "sh", "-c", fmt.Sprintf("cp %s/modules/modules.* %s/", kernel, to))
	must(t, "/sbin/depmod", "-b", root, release)
}

// A container's root cannot be pivoted on the initial RAM file system itself.
const stageOne = `#!/bin/sh
/bin/mount -t tmpfs -o mode=755,size=900m tmpfs /new
cd /
for f in bin sbin etc lib lib64 tmp data run var root image checks checkpoint busybox.tar; do cp -a $f /new/; rm -rf /$f.gone; done
mkdir -p /new/proc /new/sys /new/dev
chmod 1777 /new/tmp
exec switch_root /new /checks
`

const setUp = `#!/bin/sh
export PATH=/bin:/sbin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts && mount -t devpts devpts /dev/pts
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /run
for m in overlay bridge veth nf_tables nft_chain_nat nft_nat nft_masq nft_ct nft_fib_ipv4 tun unix_diag tcp_diag udp_diag raw_diag af_packet_diag netlink_diag loop fuse bfq quota_v2; do modprobe $m; done
ip link set lo up
echo 'root:x:0:0:root:/root:/bin/sh' > /etc/passwd
hostname machine && hostname > /etc/hostname
# A disk as users have it: this kernel's tmpfs knows no ID maps.
truncate -s 512M /disk && mke2fs -F /disk >/dev/null 2>&1 && mount -t ext4 -o loop /disk /data && chmod 1777 /data
start_engine() {
	berthd --pidfile /run/berthd.pid >> /var/berthd.log 2>&1 &
	for i in $(seq 300); do berth -H unix:///run/berth/berth.sock version >/dev/null 2>&1 && return; sleep 0.2; done
	echo 'the engine does not answer'
}
`

const (
	engineMachine  = "engine"
	runtimeMachine = "runtime"
	engineLog      = "log"
)

// script is a machine's init after the switch: it runs what is the machine's to its
// end. The kernel makes a variable of machine= on its command line.
func script() string {
	var b strings.Builder
	run := func(name, command string) {
		fmt.Fprintf(&b, "echo '<<<%[1]s'\n( %[2]s )\necho '>>>%[1]s'\n", name, command)
	}
	b.WriteString(setUp + "if [ $machine = " + engineMachine + " ]; then\nstart_engine\nberth import --change 'CMD [\"sh\"]' /busybox.tar busybox\n")
	for i, c := range checks {
		run(fmt.Sprint(i), c.command)
	}
	run(engineLog, "tail -c 6000 /var/berthd.log")
	b.WriteString("fi\n")
	for _, s := range suites {
		b.WriteString("if [ $machine = " + s.machine + " ]; then\n")
		run(s.name, s.script())
		b.WriteString("fi\n")
	}
	b.WriteString("reboot -f\n")
	return b.String()
}

func must(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
