package build

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/docker/go-units"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session/upload/uploadprovider"
	"github.com/tonistiigi/fsutil"

	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/terminal"
)

// plan is what is asked of the engine, and what of it is needed to explain a failure.
type plan struct {
	solve      client.SolveOpt
	request    string // of the frontend; "" builds
	format     string // of the request's answer
	contextDir string // "" if the context is no folder
	dockerfile string // as the user knows it

	temporary []string
}

func (p *plan) close() {
	for _, dir := range p.temporary {
		_ = os.RemoveAll(dir)
	}
}

func (o *options) plan(e *env.Env) (_ *plan, err error) {
	p := &plan{solve: client.SolveOpt{Frontend: "dockerfile.v0", FrontendAttrs: map[string]string{}, LocalMounts: map[string]fsutil.FS{}}}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if o.noCache && len(o.noCacheFilter) > 0 {
		return nil, errors.New("--no-cache is for all stages already: leave out --no-cache-filter")
	}
	for _, step := range []func(*plan, *env.Env) error{o.inputs, o.method, o.arguments, o.surroundings, o.results, o.attachments} {
		if err := step(p, e); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// inputs finds context and Dockerfile.
func (o *options) inputs(p *plan, e *env.Env) error {
	attrs := p.solve.FrontendAttrs
	if o.context == "-" && o.file == "-" {
		return errors.New("standard input cannot be both the context and the Dockerfile")
	}
	dir, name := "", o.file
	switch info, err := os.Stat(o.context); {
	case o.context == "-":
		if err := o.fromInput(p, e.In); err != nil {
			return err
		}
	case err == nil && info.IsDir():
		if err := p.local("context", o.context); err != nil {
			return err
		}
		p.contextDir = o.context
		if o.file == "" {
			dir = o.context
		}
	case isRemote(o.context):
		attrs["context"] = o.context
		if filepath.IsAbs(o.file) {
			attrs["dockerfilekey"] = "dockerfile"
		}
	case err == nil:
		return fmt.Errorf("the context %s is no folder", o.context)
	default:
		return fmt.Errorf("unable to prepare context: path %q not found", o.context)
	}
	if o.file == "-" {
		if err := p.dockerfileFrom(e.In); err != nil {
			return err
		}
		name = ""
	} else if o.file != "" && (p.contextDir != "" || filepath.IsAbs(o.file)) {
		dir, name = filepath.Dir(o.file), filepath.Base(o.file)
	}
	if name == "" {
		name = "Dockerfile"
	}
	if dir != "" {
		var err error
		if name, err = dockerfileIn(dir, name); err != nil {
			return err
		}
		if err := p.local("dockerfile", dir); err != nil {
			return err
		}
		p.dockerfile = filepath.Join(dir, name)
	}
	attrs["filename"] = name
	return o.namedContexts(p)
}

// dockerfileIn finds the name that the Dockerfile has in dir.
func dockerfileIn(dir, name string) (string, error) {
	_, err := os.Stat(filepath.Join(dir, name))
	if !errors.Is(err, fs.ErrNotExist) {
		return name, err
	}
	entries, _ := os.ReadDir(dir)
	var names []string
	for _, entry := range entries {
		if name == "Dockerfile" && entry.Name() == "dockerfile" {
			return entry.Name(), nil
		}
		if !entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	hint := ""
	if near := nearest(name, names); near != "" {
		hint = fmt.Sprintf("; there is %s", filepath.Join(dir, near))
	}
	return "", fmt.Errorf("there is no Dockerfile %s%s: name one by --file", filepath.Join(dir, name), hint)
}

// fromInput takes an archive or a Dockerfile from standard input.
func (o *options) fromInput(p *plan, in io.Reader) error {
	head := make([]byte, 1024)
	n, err := io.ReadFull(in, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("read standard input: %w", err)
	}
	head = head[:n]
	rest := io.MultiReader(strings.NewReader(string(head)), in)
	if isArchive(head) {
		up := uploadprovider.New()
		p.solve.FrontendAttrs["context"] = up.Add(io.NopCloser(rest))
		p.solve.Session = append(p.solve.Session, up)
		return nil
	}
	if o.file != "" {
		return errors.New("standard input is no archive, and --file names another Dockerfile")
	}
	empty, err := p.folder()
	if err != nil {
		return err
	}
	if err := p.local("context", empty); err != nil {
		return err
	}
	return p.dockerfileFrom(rest)
}

// dockerfileFrom puts a Dockerfile where the session can serve it.
func (p *plan) dockerfileFrom(in io.Reader) error {
	dir, err := p.folder()
	if err != nil {
		return err
	}
	text, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("read the Dockerfile from standard input: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), text, 0o600); err != nil {
		return fmt.Errorf("keep the Dockerfile: %w", err)
	}
	p.solve.FrontendAttrs["dockerfilekey"] = "dockerfile"
	return p.local("dockerfile", dir)
}

func (p *plan) folder() (string, error) {
	dir, err := os.MkdirTemp("", "berth-build-")
	if err != nil {
		return "", fmt.Errorf("make a folder: %w", err)
	}
	p.temporary = append(p.temporary, dir)
	return dir, nil
}

// local serves a folder. The engine knows it again by its path, and is sent
// only what changed since.
func (p *plan) local(name, dir string) error {
	mount, err := fsutil.NewFS(dir)
	if err != nil {
		return fmt.Errorf("open the folder %s: %w", dir, err)
	}
	p.solve.LocalMounts[name] = mount
	if name == "context" {
		if full, err := filepath.Abs(dir); err == nil {
			p.solve.SharedKey = full
		}
	}
	return nil
}

func (o *options) namedContexts(p *plan) error {
	for _, text := range o.contexts {
		name, place, ok := strings.Cut(text, "=")
		if !ok || name == "" || place == "" {
			return fmt.Errorf("invalid value %q for --build-context: write name=PATH or name=URL", text)
		}
		key := "context:" + strings.ToLower(name)
		scheme, _, _ := strings.Cut(place, ":")
		switch {
		case isRemote(place) || scheme == "docker-image" || scheme == "target":
			p.solve.FrontendAttrs[key] = place
		case scheme == "oci-layout":
			if err := p.layout(key, place); err != nil {
				return err
			}
		default:
			info, err := os.Stat(place)
			if err != nil || !info.IsDir() {
				return fmt.Errorf("--build-context %s: there is no folder %s", text, place)
			}
			local := "_" + name
			if err := p.local(local, place); err != nil {
				return err
			}
			p.solve.FrontendAttrs[key] = "local:" + local
		}
	}
	return nil
}

// method is the request of --call and --check.
func (o *options) method(p *plan, _ *env.Env) error {
	call := o.call
	if o.check {
		call = "check"
	}
	s, err := parseSpec("call", call)
	if err != nil {
		return err
	}
	method := s.first + s.take("method")
	p.format = s.take("format")
	switch method {
	case "build", "":
		return nil
	case "check", "lint":
		p.request = "frontend.lint"
	case "outline", "targets", "subrequests.describe":
		p.request = "frontend." + method
	default:
		return fmt.Errorf("invalid value %q for --call: it takes build, check, outline or targets", call)
	}
	p.solve.FrontendAttrs["requestid"] = p.request
	p.solve.FrontendAttrs["frontend.caps"] = "moby.buildkit.frontend.subrequests"
	p.solve.Internal = true
	return nil
}

// epoch is the variable that reproducible builds share.
const epoch = "SOURCE_DATE_EPOCH"

func (o *options) arguments(p *plan, e *env.Env) error {
	attrs := p.solve.FrontendAttrs
	given := func(name string) (string, bool) { v := e.Getenv(name); return v, v != "" }
	arguments, err := pairs("build-arg", o.buildArgs, given)
	if err != nil {
		return err
	}
	if _, ok := arguments[epoch]; !ok {
		if v := e.Getenv(epoch); v != "" {
			arguments[epoch] = v
		} else if o.reproducible {
			arguments[epoch] = "0"
		}
	}
	for name, value := range arguments {
		attrs["build-arg:"+name] = value
	}
	if syntax := arguments["BUILDKIT_SYNTAX"]; syntax != "" {
		p.solve.Frontend = "gateway.v0"
		attrs["source"], _, _ = strings.Cut(syntax, " ")
		attrs["cmdline"] = syntax
	}
	labels, err := pairs("label", o.labels, nil)
	if err != nil {
		return err
	}
	for name, value := range labels {
		attrs["label:"+name] = value
	}
	if inline, _ := strconv.ParseBool(arguments["BUILDKIT_INLINE_CACHE"]); inline {
		o.cacheTo = append(o.cacheTo, "type=inline")
	}
	return nil
}

// surroundings are where steps run and what of the cache they use.
func (o *options) surroundings(p *plan, _ *env.Env) error {
	attrs := p.solve.FrontendAttrs
	set := func(name, value string) {
		if value != "" {
			attrs[name] = value
		}
	}
	set("target", o.target)
	set("cgroup-parent", o.cgroupParent)
	set("ulimit", strings.Join(o.ulimits, ","))
	for _, u := range o.ulimits {
		if _, err := units.ParseUlimit(u); err != nil {
			return fmt.Errorf("--ulimit %s: %w", u, err)
		}
	}
	hosts, err := extraHosts(o.addHosts)
	if err != nil {
		return err
	}
	set("add-hosts", hosts)
	if o.shmSize != "" {
		n, err := units.RAMInBytes(o.shmSize)
		if err != nil {
			return fmt.Errorf("--shm-size %s: %w", o.shmSize, err)
		}
		set("shm-size", strconv.FormatInt(n, 10))
	}
	attrs["image-resolve-mode"] = "local"
	if o.pull {
		attrs["image-resolve-mode"] = "pull"
	}
	if o.noCache {
		attrs["no-cache"] = ""
	}
	set("no-cache", strings.Join(o.noCacheFilter, ","))
	p.solve.AllowedEntitlements = slices.Clone(o.allow)
	switch o.network {
	case "", "default":
	case "host":
		p.solve.AllowedEntitlements = append(p.solve.AllowedEntitlements, "network.host")
		attrs["force-network-mode"] = o.network
	case "none":
		attrs["force-network-mode"] = o.network
	default:
		return fmt.Errorf("invalid value %q for --network: a build's is default, host or none", o.network)
	}
	var list []string
	for _, text := range o.platforms {
		platform, err := platforms.Parse(text)
		if err != nil {
			return fmt.Errorf("invalid value %q for --platform: write os/arch, such as linux/arm64: %w", text, err)
		}
		list = append(list, platforms.Format(platforms.Normalize(platform)))
	}
	set("platform", strings.Join(list, ","))
	return limits(o.resources, attrs)
}

func (o *options) results(p *plan, e *env.Env) (err error) {
	if p.request != "" {
		return nil
	}
	if p.solve.CacheImports, err = caches("cache-from", o.cacheFrom); err != nil {
		return err
	}
	if p.solve.CacheExports, err = caches("cache-to", o.cacheTo); err != nil {
		return err
	}
	attests, err := attestations(o.attests, o.provenance, o.sbom)
	if err != nil {
		return err
	}
	for kind, value := range attests {
		p.solve.FrontendAttrs["attest:"+kind] = value
	}
	if p.solve.Exports, err = o.exports(e.Out, terminal.Of(e.Out) != nil); err != nil {
		return err
	}
	local := func(x client.ExportEntry) bool { return x.Type == client.ExporterLocal || x.Type == client.ExporterTar }
	if o.iidFile != "" && slices.ContainsFunc(p.solve.Exports, local) {
		return errors.New("an export of files has no image ID: leave out --iidfile")
	}
	p.solve.Exports = slices.DeleteFunc(p.solve.Exports, func(x client.ExportEntry) bool { return x.Type == "cacheonly" })
	return nil
}

// attachments are what the session serves beside files.
func (o *options) attachments(p *plan, e *env.Env) error {
	credentials, err := credentials(e)
	if err != nil {
		return err
	}
	secrets, err := secrets(o.secrets)
	if err != nil {
		return err
	}
	p.solve.Session = append(p.solve.Session, credentials, secrets)
	if len(o.ssh) == 0 {
		return nil
	}
	agents, err := agents(o.ssh)
	if err != nil {
		return err
	}
	p.solve.Session = append(p.solve.Session, agents)
	return nil
}

// frontendAttrs is a copy that a gateway request may change.
func (p *plan) frontendAttrs() map[string]string { return maps.Clone(p.solve.FrontendAttrs) }
