package dockerd

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// flags are those of dockerd --help from 20.10 to 29, with a value each.
const flags = `add-runtime=x=/y allow-direct-routing=true allow-nondistributable-artifacts=x api-cors-header=x authorization-plugin=x bip=10.9.0.1/24 bip6=fd00::1/64
bridge=none bridge-accept-fwmark=1 cdi-spec-dir=/etc/cdi cgroup-parent=/x cluster-advertise=x cluster-store=x cluster-store-opt=a=b containerd=/x containerd-namespace=x
containerd-plugins-namespace=x cpu-rt-period=1 cpu-rt-runtime=1 cri-containerd=true data-root=/x debug=true default-address-pool=base=10.0.0.0/8,size=24
default-cgroupns-mode=host default-gateway=10.0.0.1 default-gateway-v6=fd00::1 default-ipc-mode=shareable default-network-opt=bridge=a=b default-runtime=runc
default-shm-size=1m default-ulimit=nofile=1:2 dns=1.1.1.1 dns-opt=x dns-search=x exec-opt=native.cgroupdriver=systemd exec-root=/x experimental=true feature=x=true
firewall-backend=iptables fixed-cidr=10.0.0.0/24 fixed-cidr-v6=fd00::/80 graph=/x group=root host=unix:///x host-gateway-ip=1.1.1.1 http-proxy=x https-proxy=x icc=false init=true
init-path=/x insecure-registry=x ip=1.1.1.1 ip-forward=false ip-forward-no-drop=false ip-masq=false ip6tables=false iptables=false ipv6=true label=a=b live-restore=false log-driver=local
log-format=json log-level=debug log-opt=max-size=1m max-concurrent-downloads=1 max-concurrent-uploads=1 max-download-attempts=1 metrics-addr=127.0.0.1:9323 mtu=1400
network-control-plane-mtu=1400 network-diagnostic-port=1 no-new-privileges=true no-proxy=x node-generic-resource=x oom-score-adjust=1 pidfile=/x raw-logs=true
registry-mirror=https://x rootless=true seccomp-profile=/x selinux-enabled=true shutdown-timeout=1 storage-driver=overlay2 storage-opt=x swarm-default-advertise-addr=x
tls=true tlscacert=/x tlscert=/x tlskey=/x tlsverify=true userland-proxy=true userland-proxy-path=/x userns-remap=x`

const doing = `bip cdi-spec-dir cgroup-parent data-root debug exec-root graph group host insecure-registry label log-driver log-level log-opt metrics-addr pidfile registry-mirror
tlscacert tlscert tlskey tlsverify userns-remap`

// Every flag does what it says or is accepted with one warning.
func TestEveryFlag(t *testing.T) {
	none := filepath.Join(t.TempDir(), "daemon.json")
	if err := os.WriteFile(none, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, flag := range strings.Fields(flags) {
		name, value, _ := strings.Cut(flag, "=")
		seen[name] = true
		got, err := Translate([]string{"--config-file", none, "--" + flag}, Env{Home: "/root"})
		if err != nil {
			t.Errorf("%s: %v", flag, err)
			continue
		}
		does := slices.Contains(strings.Fields(doing), name)
		if does != (len(got.Warnings) == 0) || len(got.Warnings) > 1 || !does && !strings.Contains(got.Warnings[0], name) {
			t.Errorf("%s: %q", flag, got.Warnings)
		}
		if name == "bip" {
			value = "10.9.0.0/24"
		}
		if does && !slices.ContainsFunc(got.Args, func(a string) bool { return strings.HasSuffix(a, "="+value) }) {
			t.Errorf("%s became %q", flag, got.Args)
		}
	}
	for _, s := range settings() {
		if s.kind != fileOnly && !seen[s.name] && s.name != "deprecated-key-path" {
			t.Errorf("%s is in the table and not tried", s.name)
		}
	}
}

func TestTranslate(t *testing.T) {
	dir := t.TempDir()
	for i, row := range []struct{ args, file, want, warnings string }{
		{"", "", "--config-file=/dev/null --host=unix:///var/run/docker.sock --pidfile=/var/run/docker.pid", ""},
		{"-D -H tcp://:2376 -H fd:// -H /x -p /p --tlsverify", "", "--config-file=/dev/null --debug=true --host=tcp://127.0.0.1:2376 --host=fd:// --host=unix:///x --pidfile=/p --tlsverify=true --tlscacert=/c/ca.pem --tlscert=/c/cert.pem --tlskey=/c/key.pem", ""},
		{"-H 10.0.0.1", "", "--config-file=/dev/null --host=tcp://10.0.0.1:2376 --pidfile=/var/run/docker.pid", ""},
		{"--bip 10.9.0.7/24 --cgroup-parent x -l fatal -s overlay2 -p /p -H fd://", "", "--config-file=/dev/null --cgroup-parent=/x --bridge-subnet=10.9.0.0/24 --host=fd:// --log-level=error --pidfile=/p", "first address of 10.9.0.0/24, storage-driver"},
		{"--userland-proxy=false --iptables --live-restore -p /p -H fd://", "", "--config-file=/dev/null --host=fd:// --pidfile=/p", ""},
		{"-p /p --validate", `{"hosts":["fd://"],"log-opts":{"max-size":"1m"},"debug":true,"storage-driver":"overlay2","features":{"x":true},"builder":{"gc":{}},"ipv6":false}`,
			"--config-file=/dev/null --validate --debug=true --host=fd:// --log-opt=max-size=1m --pidfile=/p", "builder, features, storage-driver"},
		{"-v", "", "--version", ""},
		{"-D", `{"debug":true}`, "!specified both as a flag and in the configuration file: debug", ""},
		{"", `{"nonsense":1}`, "!don't match any configuration option: nonsense", ""},
		{"", `{"debug":"yes"}`, "!debug", ""},
		{"", `{"hosts":[1]}`, "!hosts", ""},
		{"", `{`, "!unable to configure the Docker daemon with file", ""},
		{"--no-such-flag", "", "!no-such-flag", ""},
		{"serve", "", `!unexpected argument "serve"`, ""},
		{"--bip x", "", "!--bip", ""},
	} {
		file := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(file, []byte(row.file), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Translate(append(strings.Fields(row.args), "--config-file="+file), Env{CertPath: "/c"})
		if refusal, ok := strings.CutPrefix(row.want, "!"); ok {
			if err == nil || !strings.Contains(err.Error(), refusal) {
				t.Errorf("%s %s: %v, want %s", row.args, row.file, err, refusal)
			}
			continue
		}
		slices.Sort(got.Args[max(0, len(got.Args)-3):]) // those of a map
		want := strings.Fields(row.want)
		slices.Sort(want[max(0, len(want)-3):])
		if err != nil || strings.Join(got.Args, " ") != strings.Join(want, " ") {
			t.Errorf("%s %s: %q, %v; want %q", row.args, row.file, got.Args, err, want)
		}
		slices.Sort(got.Warnings)
		for _, w := range strings.Split(row.warnings, ", ") {
			if !strings.Contains(strings.Join(got.Warnings, "\n"), w) || (w == "") != (len(got.Warnings) == 0) {
				t.Errorf("%s %s: %q, want %s", row.args, row.file, got.Warnings, row.warnings)
			}
		}
	}
	if _, err := Translate([]string{"--config-file", filepath.Join(dir, "none")}, Env{}); err == nil {
		t.Error("a file that was asked for and is not there")
	}
}

func FuzzFile(f *testing.F) {
	f.Add([]byte(`{"hosts":["fd://"],"log-opts":{"a":1},"x":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = Translate([]string{"--config-file", file}, Env{})
	})
}
