// Package config reads the settings of the engine from flags and from one JSON
// file, checks them once, and is then done: a Config does not change. Every
// refusal says where the setting came from, its key and what is allowed.
package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/berth-containers/berth/internal/distribution/registries"
	"github.com/berth-containers/berth/internal/image/reclaim"
	"github.com/containerd/errdefs"
	"github.com/spf13/pflag"
)

// DefaultFile is read if it exists and no other is named.
const DefaultFile = "/etc/berth/daemon.json"

// Config is how one engine runs. Paths are absolute.
type Config struct {
	DataRoot     string // what persists
	ExecRoot     string // sockets and the state of this boot
	Hosts        []string
	Group        string // who may use the socket, besides root
	GroupGiven   bool   // the group was asked for: it must exist
	BridgeSubnet netip.Prefix
	CgroupParent string
	CDISpecDirs  []string // of files that describe devices
	UsernsRemap  string   // who containers' IDs are remapped to; "" nobody
	PidFile      string
	LogLevel     slog.Level
	Registries   registries.Table // how registries are reached
	ImageGC      reclaim.Marks    // when unused images go
	LayerLimit   int64            // bytes that a layer may unpack to
	BuildCache   int64            // bytes that the build cache may take; 0: what the disk has to spare
	BuildAny     bool             // a build may ask for all rights
	TLS          TLS
	LogDriver    string            // of containers that ask for none; "" is the ring
	LogOpts      map[string]string // of it
	Labels       []string          // of the engine, shown by info
	MetricsAddr  string            // "" : no metrics
	Validate     bool              // the settings are only to be checked
	ShowVersion  bool
}

// TLS are the files for tcp:// hosts.
type TLS struct {
	Verify        bool
	CA, Cert, Key string
}

// registriesKey is the one setting of the file that no flag could hold.
const registriesKey = "registries"

// raw is what was given, before it is checked.
type raw struct {
	dataRoot, execRoot, group, bridgeSubnet, cgroupParent, pidFile, logLevel   string
	gcHigh, gcLow, layerLimit, buildCache, usernsRemap, logDriver, metricsAddr string
	hosts, insecure, mirrors, cdiDirs, logOpts, labels                         []string
	registries                                                                 registries.Table
	tls                                                                        TLS
	debug, buildAny                                                            bool
}

// fileKeys are the settings that the file may have, and their flags. A plural
// is for a flag that may be repeated.
var fileKeys = map[string]string{
	"data-root": "data-root", "exec-root": "exec-root", "hosts": "host", "group": "group",
	"bridge-subnet": "bridge-subnet", "cgroup-parent": "cgroup-parent", "pidfile": "pidfile",
	"log-level": "log-level", "insecure-registries": "insecure-registry", "registry-mirrors": "registry-mirror", "debug": "debug",
	"image-gc-high": "image-gc-high", "image-gc-low": "image-gc-low", "image-layer-limit": "image-layer-limit",
	"build-cache-max": "build-cache-max", "build-insecure": "build-insecure",
	"log-driver": "log-driver", "log-opts": "log-opt", "labels": "label", "metrics-addr": "metrics-addr",
	"cdi-spec-dirs": "cdi-spec-dir", "userns-remap": "userns-remap", "tlsverify": "tlsverify", "tlscacert": "tlscacert", "tlscert": "tlscert", "tlskey": "tlskey",
}

func (r *raw) flags() *pflag.FlagSet {
	f := pflag.NewFlagSet("berthd", pflag.ContinueOnError)
	f.SortFlags = true
	f.StringVar(&r.dataRoot, "data-root", "/var/lib/berth", "directory for images, containers and volumes")
	f.StringVar(&r.execRoot, "exec-root", "/run/berth", "directory for sockets and the state of running containers")
	f.StringArrayVarP(&r.hosts, "host", "H", nil, "where to listen: unix://PATH, fd:// (systemd) or tcp://ADDRESS:PORT (with --tlsverify); repeatable (default unix://EXEC-ROOT/berth.sock)")
	f.StringVarP(&r.group, "group", "G", "berth", "group that may use the unix socket; root if there is no group berth")
	f.StringVar(&r.bridgeSubnet, "bridge-subnet", "", "IPv4 subnet of the default network, such as 172.30.0.0/16 (default: one that is free)")
	f.StringVar(&r.cgroupParent, "cgroup-parent", "/berth", "cgroup of the engine's own that the containers' cgroups are made in; it goes when it is empty")
	f.StringVarP(&r.pidFile, "pidfile", "p", "", "file to write the process ID to")
	f.StringVarP(&r.logLevel, "log-level", "l", "info", "least level of messages: debug, info, warn or error")
	f.BoolVarP(&r.debug, "debug", "D", false, "same as --log-level debug")
	f.StringArrayVar(&r.insecure, "insecure-registry", nil, "registry, as HOST or HOST:PORT, whose certificate is not looked at, and that may have none; repeatable")
	f.StringArrayVar(&r.mirrors, "registry-mirror", nil, "mirror of docker.io, as [http://|https://]HOST[:PORT][/PREFIX]; repeatable")
	f.StringVar(&r.gcHigh, "image-gc-high", "", "remove unused images when the disk is fuller than this percentage, such as 85%, or the images larger than this size, such as 50GB (default: never)")
	f.StringVar(&r.gcLow, "image-gc-low", "", "stop removing them at this percentage or size (default: nine tenths of --image-gc-high)")
	f.StringVar(&r.layerLimit, "image-layer-limit", "100GB", "size that one layer of an image may unpack to: what is larger is taken for an attack")
	f.StringVar(&r.buildCache, "build-cache-max", "", "size that the build cache may take, such as 20GB (default: what leaves a fifth of the disk free)")
	f.BoolVar(&r.buildAny, "build-insecure", false, "let builds ask for RUN --security=insecure: such a step has all rights on the host")
	f.StringArrayVar(&r.cdiDirs, "cdi-spec-dir", []string{"/etc/cdi", "/var/run/cdi"}, "directory of CDI files, which describe devices; repeatable, later ones take precedence")
	f.StringVar(&r.usernsRemap, "userns-remap", "", "USER[:GROUP] whose subordinate IDs (/etc/subuid, /etc/subgid) containers get in user namespaces of their own; default is dockremap, who is handed some out (default: containers share the host's IDs)")
	f.StringVar(&r.logDriver, "log-driver", "", "log driver of containers that ask for none: ring, local, json-file or none (default: ring, shown as json-file)")
	f.StringArrayVar(&r.logOpts, "log-opt", nil, "option of that log driver, such as max-size=10m; repeatable")
	f.StringArrayVar(&r.labels, "label", nil, "label of the engine, as NAME=VALUE; repeatable")
	f.StringVar(&r.metricsAddr, "metrics-addr", "", "address and port to serve Prometheus's /metrics at, such as 127.0.0.1:9323 (default: none)")
	f.BoolVar(&r.tls.Verify, "tlsverify", false, "serve tcp:// hosts, to clients with a certificate of the CA only")
	f.StringVar(&r.tls.CA, "tlscacert", "", "certificates of the CA that signs clients")
	f.StringVar(&r.tls.Cert, "tlscert", "", "certificate of the engine")
	f.StringVar(&r.tls.Key, "tlskey", "", "key of the engine's certificate")
	return f
}

// Load reads args (without the program's name) and the file they name.
func Load(args []string) (Config, error) {
	var r raw
	f := r.flags()
	file := f.String("config-file", DefaultFile, "JSON file with settings; a setting may be in the file or a flag, not both")
	show := f.Bool("version", false, "print the version and exit")
	validate := f.Bool("validate", false, "check the settings and exit")
	if err := f.Parse(args); err != nil {
		return Config{}, err
	}
	if f.NArg() > 0 {
		return Config{}, invalid("unexpected argument %q: every setting is a flag", f.Arg(0))
	}
	if *show {
		return Config{ShowVersion: true}, nil
	}
	s := sources{}
	if err := s.readFile(&r, f, *file, f.Changed("config-file")); err != nil {
		return Config{}, err
	}
	c, err := r.check(s, f.Changed("group"))
	c.Validate = *validate
	return c, err
}

// sources name where a setting of the file came from, by flag.
type sources map[string]string

// of names flag's setting in the words of whoever gave it.
func (s sources) of(flag string) string {
	if text, ok := s[flag]; ok {
		return text
	}
	return "flag --" + flag
}

func (s sources) readFile(r *raw, f *pflag.FlagSet, path string, must bool) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !must {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	settings, err := parse(text)
	if err != nil {
		return invalid("%s: %v", path, err)
	}
	keys := make([]string, 0, len(settings))
	for key := range settings {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if key == registriesKey {
			if r.registries, err = registries.Parse(settings[key]); err != nil {
				return invalid("%s: key %q: %v", path, key, err)
			}
			continue
		}
		if err := s.take(f, path, key, settings[key]); err != nil {
			return err
		}
	}
	return nil
}

func parse(text []byte) (map[string]json.RawMessage, error) {
	settings := map[string]json.RawMessage{}
	if len(bytes.TrimSpace(text)) == 0 {
		return settings, nil
	}
	if err := json.Unmarshal(text, &settings); err != nil {
		return nil, fmt.Errorf("not a JSON object of settings: %w", err)
	}
	return settings, nil
}

// take gives the value of one key of the file to its flag.
func (s sources) take(f *pflag.FlagSet, path, key string, value json.RawMessage) error {
	name, ok := fileKeys[key]
	if !ok {
		return invalid("%s: unknown key %q: the keys are %s", path, key, strings.Join(keyNames(), ", "))
	}
	flag := f.Lookup(name)
	if flag.Changed {
		return invalid("%s: key %q is also given as flag --%s (%s): leave one of them out", path, key, name, flag.Value)
	}
	values, kind := textsOf(value, flag.Value.Type())
	if kind != "" {
		return invalid("%s: key %q: %s is not %s", path, key, value, kind)
	}
	for _, v := range values {
		if err := f.Set(name, v); err != nil {
			return invalid("%s: key %q: %v", path, key, err)
		}
	}
	s[name] = fmt.Sprintf("%s: key %q", path, key)
	return nil
}

// textsOf returns value as a flag takes it, or the kind that it should be.
func textsOf(value json.RawMessage, flagType string) (texts []string, want string) {
	switch flagType {
	case "bool":
		var b *bool
		if json.Unmarshal(value, &b) != nil || b == nil {
			return nil, "true or false"
		}
		return []string{fmt.Sprint(*b)}, ""
	case "stringArray":
		var pairs map[string]string
		if json.Unmarshal(value, &pairs) == nil && pairs != nil {
			for _, name := range slices.Sorted(maps.Keys(pairs)) {
				texts = append(texts, name+"="+pairs[name])
			}
			return texts, ""
		}
		if json.Unmarshal(value, &texts) != nil || texts == nil {
			return nil, "a list of strings"
		}
		return texts, ""
	}
	var text *string
	if json.Unmarshal(value, &text) != nil || text == nil {
		return nil, "a string"
	}
	return []string{*text}, ""
}

func keyNames() []string {
	names := make([]string, 0, len(fileKeys)+1)
	names = append(names, registriesKey)
	for name := range fileKeys {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
