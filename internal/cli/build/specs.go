package build

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/session/sshforward/sshprovider"
)

// spec is a flag's "key=value,…"; first is a leading word without "=".
type spec struct {
	first string
	keys  map[string]string
}

func parseSpec(flag, text string) (spec, error) {
	s := spec{keys: map[string]string{}}
	fields, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		return s, fmt.Errorf("invalid value %q for --%s: %w", text, flag, err)
	}
	for i, field := range fields {
		key, value, ok := strings.Cut(field, "=")
		switch {
		case ok:
			s.keys[strings.ToLower(strings.TrimSpace(key))] = value
		case i == 0 && len(fields) == 1:
			s.first = field
		default:
			return s, fmt.Errorf("invalid field %q in %q for --%s: write key=value", field, text, flag)
		}
	}
	return s, nil
}

// take returns a value under any of its names and removes it.
func (s spec) take(names ...string) string {
	var found string
	for _, n := range names {
		if v, ok := s.keys[n]; ok {
			found = v
			delete(s.keys, n)
		}
	}
	return found
}

// pairs are name=value flags; without "=" the value is the environment's, if
// there is one.
func pairs(flag string, list []string, lookup func(string) (string, bool)) (map[string]string, error) {
	all := map[string]string{}
	for _, text := range list {
		name, value, ok := strings.Cut(text, "=")
		if name == "" {
			return nil, fmt.Errorf("invalid value %q for --%s: write name=value", text, flag)
		}
		if !ok && lookup != nil {
			if value, ok = lookup(name); !ok {
				continue
			}
		}
		all[name] = value
	}
	return all, nil
}

// exports turns --output, --push and --load into what BuildKit's client takes.
// The engine's own exporter of images is called "moby" there.
func (o *options) exports(stdout io.Writer, terminal bool) ([]client.ExportEntry, error) {
	var all []client.ExportEntry
	for _, text := range o.outputs {
		e, err := export(text, stdout, terminal)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	isImage := func(e client.ExportEntry) bool { return e.Type == exporterEngine }
	if (o.load || o.push || len(all) == 0) && !slices.ContainsFunc(all, isImage) {
		all = append(all, client.ExportEntry{Type: exporterEngine, Attrs: map[string]string{}})
	}
	for _, e := range all {
		if e.Type == exporterEngine && o.push {
			e.Attrs["push"] = "true"
		}
		if err := o.exportAttributes(e); err != nil {
			return nil, err
		}
	}
	return all, nil
}

const (
	exporterEngine = "moby"

	flatOwn, flatAll = "true", "all" // the exporters' words
)

func (o *options) exportAttributes(e client.ExportEntry) error {
	switch e.Type {
	case exporterEngine, client.ExporterOCI, client.ExporterDocker:
	default:
		return nil
	}
	if len(o.tags) > 0 {
		e.Attrs["name"] = strings.Join(o.tags, ",")
	}
	if e.Attrs["push"] == "true" && e.Attrs["name"] == "" {
		return errors.New("a push needs the image's name: give one by --tag")
	}
	switch o.flat {
	case "", "false":
	case flatOwn, flatAll:
		e.Attrs["flat"] = o.flat
	default:
		return fmt.Errorf("invalid value %q for --flat: it takes nothing or %s", o.flat, flatAll)
	}
	if o.reproducible {
		e.Attrs["rewrite-timestamp"] = "true"
	}
	for _, a := range o.annotations {
		name, value, ok := strings.Cut(a, "=")
		if !ok || name == "" {
			return fmt.Errorf("invalid value %q for --annotation: write name=value", a)
		}
		level := "annotation"
		if l, rest, ok := strings.Cut(name, ":"); ok && !strings.Contains(l, ".") {
			level, name = "annotation-"+l, rest
		}
		e.Attrs[level+"."+name] = value
	}
	return nil
}

func export(text string, stdout io.Writer, terminal bool) (client.ExportEntry, error) {
	e := client.ExportEntry{}
	s, err := parseSpec("output", text)
	if err != nil {
		return e, err
	}
	if s.first == "-" {
		s.keys["type"], s.keys["dest"] = client.ExporterTar, "-"
	} else if s.first != "" {
		s.keys["type"], s.keys["dest"] = client.ExporterLocal, s.first
	}
	e.Type = s.take("type")
	dest := s.take("dest", "output")
	e.Attrs = s.keys
	switch e.Type {
	case client.ExporterLocal:
		if dest == "" || dest == "-" {
			return e, fmt.Errorf("--output %s: name a folder by dest=", text)
		}
		e.OutputDir = dest
	case client.ExporterImage, "registry":
		if e.Type == "registry" {
			e.Attrs["push"] = "true"
		}
		e.Type = exporterEngine
	case client.ExporterDocker, client.ExporterTar, client.ExporterOCI:
		if e.Type == client.ExporterDocker && dest == "" {
			e.Type = exporterEngine
			break
		}
		if e.Attrs["tar"] == "false" {
			e.OutputDir = dest
			break
		}
		if (dest == "" || dest == "-") && terminal {
			return e, fmt.Errorf("--output %s: an archive is not written to a terminal: name a file by dest=, or redirect", text)
		}
		e.Output = writer(dest, stdout)
	case "cacheonly":
	default:
		return e, fmt.Errorf("--output %s: there is no type %q: it is local, tar, oci, docker, image, registry or cacheonly", text, e.Type)
	}
	return e, nil
}

func writer(dest string, stdout io.Writer) func(map[string]string) (io.WriteCloser, error) {
	return func(map[string]string) (io.WriteCloser, error) {
		if dest == "" || dest == "-" {
			return openForEver{stdout}, nil
		}
		return os.Create(dest)
	}
}

type openForEver struct{ io.Writer }

func (openForEver) Close() error { return nil }

func caches(flag string, list []string) ([]client.CacheOptionsEntry, error) {
	var all []client.CacheOptionsEntry
	for _, text := range list {
		s, err := parseSpec(flag, text)
		if err != nil {
			return nil, err
		}
		if s.first != "" {
			s.keys["type"], s.keys["ref"] = "registry", s.first
		}
		kind := s.take("type")
		if kind == "" {
			return nil, fmt.Errorf("--%s %s: name a type: type=registry, local or inline", flag, text)
		}
		all = append(all, client.CacheOptionsEntry{Type: kind, Attrs: s.keys})
	}
	return all, nil
}

func attestations(list []string, provenance, sbom string) (map[string]string, error) {
	list = slices.Clone(list)
	for kind, text := range map[string]string{"provenance": provenance, "sbom": sbom} {
		if text == "" {
			continue
		}
		if on, err := strconv.ParseBool(text); err == nil {
			text = fmt.Sprintf("disabled=%t", !on)
		}
		list = append(list, "type="+kind+","+text)
	}
	all := map[string]string{}
	for _, text := range list {
		s, err := parseSpec("attest", text)
		if err != nil {
			return nil, err
		}
		kind := s.take("type")
		if kind == "" {
			return nil, fmt.Errorf("--attest %s: name a type: type=sbom or type=provenance", text)
		}
		if off, _ := strconv.ParseBool(s.take("disabled")); off {
			delete(all, kind)
			continue
		}
		var fields []string
		for _, key := range slices.Sorted(maps.Keys(s.keys)) {
			fields = append(fields, key+"="+s.keys[key])
		}
		all[kind] = strings.Join(fields, ",")
	}
	return all, nil
}

func secrets(list []string) (session.Attachable, error) {
	var sources []secretsprovider.Source
	for _, text := range list {
		s, err := parseSpec("secret", text)
		if err != nil {
			return nil, err
		}
		source := secretsprovider.Source{ID: s.take("id"), FilePath: s.take("src", "source"), Env: s.take("env")}
		if s.take("type") == "env" && source.FilePath != "" {
			source.Env, source.FilePath = source.FilePath, ""
		}
		if source.ID == "" {
			return nil, fmt.Errorf("--secret %s: name it by id=", text)
		}
		for key := range s.keys {
			return nil, fmt.Errorf("--secret %s: there is no field %q: it has id, src, env and type", text, key)
		}
		sources = append(sources, source)
	}
	store, err := secretsprovider.NewStore(sources)
	if err != nil {
		return nil, fmt.Errorf("read a secret: %w", err)
	}
	return secretsprovider.NewSecretProvider(store), nil
}

func agents(list []string) (session.Attachable, error) {
	var all []sshprovider.AgentConfig
	for _, text := range list {
		id, paths, _ := strings.Cut(text, "=")
		a := sshprovider.AgentConfig{ID: id}
		if paths != "" {
			a.Paths = strings.Split(paths, ",")
		}
		all = append(all, a)
	}
	provider, err := sshprovider.NewSSHAgentProvider(all)
	if err != nil {
		return nil, fmt.Errorf("use --ssh: %w", err)
	}
	return provider, nil
}

// extraHosts are --add-host as the frontend reads them.
func extraHosts(list []string) (string, error) {
	var all []string
	for _, text := range list {
		host, addresses, ok := strings.Cut(text, "=")
		if !ok {
			host, addresses, ok = strings.Cut(text, ":")
		}
		if !ok || host == "" {
			return "", fmt.Errorf("invalid value %q for --add-host: write host:ip", text)
		}
		for address := range strings.SplitSeq(addresses, ",") {
			address = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
			if address != "host-gateway" && net.ParseIP(address) == nil {
				return "", fmt.Errorf("invalid value %q for --add-host: %q is no address", text, address)
			}
			all = append(all, host+"="+address)
		}
	}
	return strings.Join(all, ","), nil
}

// limits are --resource as the frontend's attributes.
func limits(list []string, attrs map[string]string) error {
	names := map[string]string{"memory": "memory", "memory-swap": "memswap", "cpu-shares": "cpushares", "cpu-period": "cpuperiod",
		"cpu-quota": "cpuquota", "cpuset-cpus": "cpusetcpus", "cpuset-mems": "cpusetmems"}
	for _, text := range list {
		key, value, ok := strings.Cut(text, "=")
		if !ok || names[key] == "" {
			return fmt.Errorf("invalid value %q for --resource: write one of %s and a value", text, strings.Join(slices.Sorted(maps.Keys(names)), "=, "))
		}
		if strings.HasPrefix(key, "memory") && value != "-1" {
			n, err := units.RAMInBytes(value)
			if err != nil {
				return fmt.Errorf("invalid value %q for --resource: %w", text, err)
			}
			value = strconv.FormatInt(n, 10)
		}
		attrs[names[key]] = value
	}
	return nil
}
