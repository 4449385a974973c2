// Package dockerd lets the engine be started as dockerd: it turns dockerd's flags
// and its daemon.json into the engine's own flags. What has no meaning here is
// accepted and said; what dockerd would refuse is refused. It is pure but for the
// file.
package dockerd

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/spf13/pflag"
)

// Name is how the engine's binary is called then.
const Name = "dockerd"

// Defaults of dockerd that scripts count on.
const (
	defaultFile = "/etc/docker/daemon.json"
	defaultHost = "unix:///var/run/docker.sock"
	defaultPid  = "/var/run/docker.pid"
)

// Translation is a command line of dockerd in the engine's words.
type Translation struct {
	Args     []string
	Warnings []string
}

// Env is what of the environment matters.
type Env struct{ CertPath, Home string }

// Translate reads args (without the program's name) and the file they name.
func Translate(args []string, env Env) (t Translation, err error) {
	flags := pflag.NewFlagSet(Name, pflag.ContinueOnError)
	table := settings()
	given := map[string]*values{}
	for _, s := range table {
		if s.kind == fileOnly {
			continue
		}
		v := &values{kind: s.kind}
		given[s.name] = v
		flag := flags.VarPF(v, s.name, s.short, "")
		if s.kind == yesNo {
			flag.NoOptDefVal = "true"
		}
	}
	file := flags.String("config-file", defaultFile, "")
	validate, version := flags.Bool("validate", false, ""), flags.BoolP("version", "v", false, "")
	if err := flags.Parse(args); err != nil {
		return t, err
	}
	if flags.NArg() > 0 {
		return t, invalid("unexpected argument %q: every setting is a flag", flags.Arg(0))
	}
	if *version {
		t.Args = []string{"--version"}
		return t, nil
	}
	if err := read(*file, flags.Changed("config-file"), table, given, &t); err != nil {
		return t, err
	}
	t.Args = append(t.Args, "--config-file=/dev/null")
	if *validate {
		t.Args = append(t.Args, "--validate")
	}
	for _, s := range table {
		if v := given[s.name]; v != nil && len(v.texts) > 0 {
			if err := t.add(s, v.texts); err != nil {
				return t, err
			}
		}
	}
	t.complete(given, env)
	return t, nil
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// values are those of one flag.
type values struct {
	kind  kind
	texts []string
}

func (v *values) String() string { return strings.Join(v.texts, ",") }

func (v *values) Type() string { return map[kind]string{yesNo: "bool", list: "list"}[v.kind] }

func (v *values) Set(s string) error {
	if v.kind == yesNo && s != "true" && s != "false" {
		return errors.New("must be true or false")
	}
	if v.kind != list {
		v.texts = nil
	}
	v.texts = append(v.texts, s)
	return nil
}

// read adds the settings of the file.
func read(path string, must bool, table []setting, given map[string]*values, t *Translation) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !must {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	keys := map[string]json.RawMessage{}
	if len(strings.TrimSpace(string(data))) > 0 {
		if err := json.Unmarshal(data, &keys); err != nil {
			return invalid("unable to configure the Docker daemon with file %s: %v", path, err)
		}
	}
	for _, s := range table {
		key := cmp.Or(s.key, s.name)
		raw, ok := keys[key]
		if !ok {
			continue
		}
		delete(keys, key)
		v := given[s.name]
		if s.as == "" && (v == nil || len(v.texts) == 0) {
			if texts, ok := textsOf(raw); !ok || s.same == "" || !slices.Equal(texts, []string{s.same}) {
				t.warn(key)
			}
			continue
		}
		texts, ok := textsOf(raw)
		if !ok {
			return invalid("unable to configure the Docker daemon with file %s: %s is not a value of %s", path, raw, key)
		}
		if len(v.texts) > 0 {
			return invalid("unable to configure the Docker daemon with file %s: the following directives are specified both as a flag and in the configuration file: %s: (from flag: %s, from file: %s)",
				path, key, v, strings.Join(texts, ","))
		}
		for _, text := range texts {
			if err := v.Set(text); err != nil {
				return invalid("unable to configure the Docker daemon with file %s: %s: %v", path, key, err)
			}
		}
	}
	if len(keys) > 0 {
		unknown := make([]string, 0, len(keys))
		for key := range keys {
			unknown = append(unknown, key)
		}
		slices.Sort(unknown)
		return invalid("unable to configure the Docker daemon with file %s: the following directives don't match any configuration option: %s", path, strings.Join(unknown, ", "))
	}
	return nil
}

// textsOf is a value as a flag takes it: objects are NAME=VALUE.
func textsOf(raw json.RawMessage) ([]string, bool) {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return nil, false
	}
	switch v := v.(type) {
	case []any:
		texts := []string{}
		for _, one := range v {
			s, ok := one.(string)
			if !ok {
				return nil, false
			}
			texts = append(texts, s)
		}
		return texts, true
	case map[string]any:
		texts := []string{}
		for name, one := range v {
			texts = append(texts, fmt.Sprintf("%s=%v", name, one))
		}
		slices.Sort(texts)
		return texts, true
	case nil:
		return nil, false
	default:
		return []string{fmt.Sprint(v)}, true
	}
}

func (t *Translation) warn(name string) {
	t.Warnings = append(t.Warnings, "dockerd's setting "+name+" has no effect here")
}

// add puts one setting into the engine's words.
func (t *Translation) add(s setting, texts []string) error {
	if s.as == "" {
		if !slices.Equal(texts, []string{s.same}) {
			t.warn(s.name)
		}
		return nil
	}
	for _, text := range texts {
		switch s.name {
		case "bip":
			p, err := netip.ParsePrefix(text)
			if err != nil {
				return invalid("--bip: %v", err)
			}
			if p.Addr() != p.Masked().Addr().Next() {
				t.Warnings = append(t.Warnings, "the bridge has the first address of "+p.Masked().String()+", not "+p.Addr().String())
			}
			text = p.Masked().String()
		case "cgroup-parent":
			if strings.HasSuffix(text, ".slice") || text == "" {
				t.warn(s.name)
				continue
			}
			text = filepath.Join("/", text)
		case "host":
			text = host(text)
		case "log-level":
			if text == "fatal" || text == "panic" {
				text = "error"
			}
		}
		t.Args = append(t.Args, "--"+s.as+"="+text)
	}
	return nil
}

// host completes an address as dockerd does.
func host(text string) string {
	scheme, rest, ok := strings.Cut(text, "://")
	switch {
	case !ok && strings.HasPrefix(text, "/"):
		return "unix://" + text
	case !ok:
		scheme, rest = "tcp", text
	case scheme == "unix" && rest == "":
		return defaultHost
	}
	if scheme != "tcp" {
		return text
	}
	rest = strings.TrimSuffix(rest, "/")
	if i := strings.LastIndex(rest, ":"); i < 0 || strings.HasSuffix(rest, "]") {
		rest += ":2376"
	} else if i == len(rest)-1 {
		rest += "2376"
	}
	if strings.HasPrefix(rest, ":") {
		rest = "127.0.0.1" + rest
	}
	return "tcp://" + rest
}

// complete adds dockerd's defaults.
func (t *Translation) complete(given map[string]*values, env Env) {
	has := func(name string) bool { return len(given[name].texts) > 0 }
	if !has("host") {
		t.Args = append(t.Args, "--host="+defaultHost)
	}
	if !has("pidfile") {
		t.Args = append(t.Args, "--pidfile="+defaultPid)
	}
	if has("tlsverify") && given["tlsverify"].texts[0] == "true" {
		dir := cmp.Or(env.CertPath, filepath.Join(env.Home, ".docker"))
		for flag, file := range map[string]string{"tlscacert": "ca.pem", "tlscert": "cert.pem", "tlskey": "key.pem"} {
			if !has(flag) {
				t.Args = append(t.Args, "--"+flag+"="+filepath.Join(dir, file))
			}
		}
	}
}
