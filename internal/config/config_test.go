package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "daemon.json")
	keys := "the keys are bridge-subnet, build-cache-max, build-insecure, cdi-spec-dirs, cgroup-parent, data-root, debug, exec-root, group, hosts, image-gc-high, image-gc-low, image-layer-limit, insecure-registries, labels, log-driver, log-level, log-opts, metrics-addr, pidfile, registries, registry-mirrors, tlscacert, tlscert, tlskey, tlsverify, userns-remap"
	tls := []string{"--tlsverify", "--tlscacert", "ca", "--tlscert", "cert", "--tlskey", "key"}
	for _, row := range []struct {
		name, file, failure string
		args                []string
		show                func(Config) any
		want                string
	}{
		{name: "defaults", show: func(c Config) any { return []any{c.DataRoot, c.ExecRoot, c.Hosts, c.Group, c.CgroupParent, c.LogLevel} },
			want: "[/var/lib/berth /run/berth [unix:///run/berth/berth.sock] berth /berth INFO]"},
		{name: "the socket is in the exec root", args: []string{"--exec-root", "/x"}, show: func(c Config) any { return c.Hosts }, want: "[unix:///x/berth.sock]"},
		{name: "file", file: `{"data-root":"/d","hosts":["unix:///a","fd://"],"log-level":"warn","insecure-registries":["r:5000"],"debug":false}`,
			show: func(c Config) any { return []any{c.DataRoot, c.Hosts, c.LogLevel, c.Registries.Hosts} }, want: "[/d [unix:///a fd://] WARN map[r:5000:{[] true}]]"},
		{name: "registries", file: `{"registries":{"default":"r:1","hosts":{"docker.io":{"mirrors":["m"]}}},"registry-mirrors":["http://n"]}`,
			show: func(c Config) any { return c.Registries }, want: "{r:1  [] map[docker.io:{[m http://n] false}]}"},
		{name: "empty file", file: " ", show: func(c Config) any { return c.DataRoot }, want: "/var/lib/berth"},
		{name: "subnet", args: []string{"--bridge-subnet", "10.9.8.7/24"}, show: func(c Config) any { return c.BridgeSubnet }, want: "10.9.8.0/24"},
		{name: "debug", args: []string{"-D"}, show: func(c Config) any { return c.LogLevel }, want: "DEBUG"},
		{name: "tcp", args: append(tls, "-H", "tcp://127.0.0.1:2376"), show: func(c Config) any { return c.TLS }, want: "{true ca cert key}"},
		{name: "group of the file", file: `{"group":"wheel"}`, show: func(c Config) any { return c.GroupGiven }, want: "true"},

		{name: "unknown key", file: `{"log-levle":"debug"}`, failure: `FILE: unknown key "log-levle": ` + keys},
		{name: "twice", file: `{"log-level":"debug"}`, args: []string{"--log-level", "warn"},
			failure: `FILE: key "log-level" is also given as flag --log-level (warn): leave one of them out`},
		{name: "wrong kind", file: `{"hosts":"unix:///a"}`, failure: `FILE: key "hosts": "unix:///a" is not a list of strings`},
		{name: "null", file: `{"data-root":null}`, failure: `FILE: key "data-root": null is not a string`},
		{name: "not a bool", file: `{"debug":"yes"}`, failure: `FILE: key "debug": "yes" is not true or false`},
		{name: "not JSON", file: `log-level`, failure: `FILE: not a JSON object of settings: invalid character 'l' looking for beginning of value`},
		{name: "value of the file", file: `{"log-level":"loud"}`, failure: `FILE: key "log-level": "loud" is not one of debug, info, warn, error`},
		{name: "value of a flag", args: []string{"--log-level", "loud"}, failure: `flag --log-level: "loud" is not one of debug, info, warn, error`},
		{name: "subnet", args: []string{"--bridge-subnet", "fd00::/64"}, failure: `flag --bridge-subnet: "fd00::/64" is not an IPv4 subnet from /8 to /30, such as 172.30.0.0/16`},
		{name: "tcp without TLS", args: []string{"-H", "tcp://0.0.0.0:2375"},
			failure: `flag --host: "tcp://0.0.0.0:2375" would let anyone who reaches the port be root: use --tlsverify with --tlscacert, --tlscert and --tlskey`},
		{name: "tcp without a key", args: []string{"-H", "tcp://0.0.0.0:2375", "--tlsverify", "--tlscacert", "a", "--tlscert", "b"},
			failure: `flag --host: "tcp://0.0.0.0:2375" needs the file --tlskey`},
		{name: "host", args: []string{"-H", "npipe://x"}, failure: `flag --host: "npipe://x" is none of unix://PATH, tcp://ADDRESS:PORT, fd://`},
		{name: "relative socket", args: []string{"-H", "unix://x"}, failure: `flag --host: "unix://x" needs an absolute path, such as unix:///run/berth/berth.sock`},
		{name: "cgroup", args: []string{"--cgroup-parent", "/a/../b"}, failure: `flag --cgroup-parent: "/a/../b" is not a path below the root of the cgroups, such as /berth`},
		{name: "one root", args: []string{"--exec-root", "/var/lib/berth"}, failure: `flag --exec-root: /var/lib/berth is the data root too: use two directories`},
		{name: "registry", file: `{"insecure-registries":["http://r"]}`, failure: `FILE: key "insecure-registries": "http://r" is not HOST or HOST:PORT`},
		{name: "mirror", args: []string{"--registry-mirror", "ftp://m"}, failure: `flag --registry-mirror: "ftp://m" is not [http://|https://]HOST[:PORT][/PREFIX]`},
		{name: "table", file: `{"registries":{"host":{}}}`, failure: `FILE: key "registries": not a table of registries: json: unknown field "host"`},
		{name: "high mark", args: []string{"--image-gc-high", "much"}, failure: `flag --image-gc-high: "much" is neither a percentage of the disk, such as 85%, nor a size of the images, such as 50GB`},
		{name: "low mark", args: []string{"--image-gc-high", "80%"}, file: `{"image-gc-low":"90%"}`, failure: `FILE: key "image-gc-low": the low mark 90% is not below the high mark 80%`},
		{name: "build cache", file: `{"build-cache-max":"much"}`, failure: `FILE: key "build-cache-max": "much" is not a size, such as 20GB`},
		{name: "layer limit", file: `{"image-layer-limit":"0"}`, failure: `FILE: key "image-layer-limit": "0" is not a size, such as 100GB`},
		{name: "argument", args: []string{"start"}, failure: `unexpected argument "start": every setting is a flag`},
		{name: "unknown flag", args: []string{"--nope"}, failure: `unknown flag: --nope`},
	} {
		t.Run(row.name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(row.file), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := Load(append(row.args, "--config-file", file))
			if want := strings.ReplaceAll(row.failure, "FILE", file); want != "" {
				if err == nil || err.Error() != want {
					t.Errorf("%v\nwant %s", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(row.show(c)); got != row.want {
				t.Errorf("%s, want %s", got, row.want)
			}
		})
	}
}

func TestFileThatIsNamedMustExist(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.json")
	if _, err := Load([]string{"--config-file", missing}); err == nil || !strings.Contains(err.Error(), missing) {
		t.Error(err)
	}
}

// A change of the flags must not leave the file's keys behind.
func TestKeysHaveFlags(t *testing.T) {
	var r raw
	f := r.flags()
	for key, flag := range fileKeys {
		if f.Lookup(flag) == nil {
			t.Errorf("key %s: no flag %s", key, flag)
		}
	}
}

func FuzzFile(f *testing.F) {
	f.Add(`{"log-level":"debug","hosts":["fd://"]}`)
	f.Add(`{"hosts":null,"tlsverify":1}`)
	f.Fuzz(func(t *testing.T, text string) {
		settings, err := parse([]byte(text))
		if err != nil {
			return
		}
		var r raw
		flags := r.flags()
		s := sources{}
		for key, value := range settings {
			if s.take(flags, "f", key, value) != nil {
				return
			}
		}
		_, _ = r.check(s, false)
	})
}
