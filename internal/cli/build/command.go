package build

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/berth-containers/berth/internal/cli/env"
)

// options are the flags as typed.
type options struct {
	addHosts, allow, annotations, attests, buildArgs, cacheFrom, cacheTo, contexts, labels []string
	noCacheFilter, outputs, platforms, resources, secrets, ssh, tags, ulimits              []string
	call, cgroupParent, file, flat, iidFile, metadataFile, network, progress, provenance   string
	sbom, shmSize, target                                                                  string
	check, debugShell, load, noCache, pull, push, quiet, reproducible                      bool

	context string
	words   []string // the whole command line, to tell how to run it again
}

// Command is `build`. words is the command line that it stands in.
func Command(words []string) func(e *env.Env) *cobra.Command {
	return func(e *env.Env) *cobra.Command {
		o := &options{words: words}
		cmd := &cobra.Command{
			Use: "build [OPTIONS] PATH | URL | -", Short: "Build an image from a Dockerfile", Aliases: []string{"b"},
			Args: env.Exactly(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				o.context = args[0]
				return o.run(cmd.Context(), e)
			},
		}
		o.define(cmd.Flags(), e.Getenv)
		return cmd
	}
}

func (o *options) define(f *pflag.FlagSet, getenv func(string) string) {
	o.defineInputs(f)
	o.defineResults(f, getenv)
	f.StringSliceVar(&o.addHosts, "add-host", nil, "Add a custom host-to-IP mapping (`host:ip`)")
	f.StringArrayVar(&o.allow, "allow", nil, "Allow an extra `privilege` (network.host, security.insecure, device)")
	f.StringVar(&o.cgroupParent, "cgroup-parent", "", "Set the parent `cgroup` of RUN instructions")
	f.StringVar(&o.network, "network", "default", "Network of RUN instructions: default, host or none")
	f.StringVar(&o.shmSize, "shm-size", "", "Size of /dev/shm of RUN instructions, in `bytes`")
	f.StringArrayVar(&o.ulimits, "ulimit", nil, "Ulimit of RUN instructions (`name=soft[:hard]`)")
	f.StringArrayVar(&o.resources, "resource", nil, "Limit RUN instructions (`memory=2g`, cpu-quota=50000, …)")
	o.defineSingleResources(f)
	f.StringVar(&o.progress, "progress", "auto", "How to show progress: auto, plain, tty, rawjson, quiet or none")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "Show nothing but the image's ID on success")
	f.StringVar(&o.call, "call", "build", "What to do: build, check, outline or targets")
	f.BoolVar(&o.check, "check", false, "Look for mistakes in the Dockerfile; the same as --call=check")
	f.BoolVar(&o.debugShell, "debug-shell", false, "Open a shell in the state before an instruction that fails")
	for _, ignored := range []string{"rm", "force-rm", "compress"} { // docker takes them still
		f.Bool(ignored, false, "")
		_ = f.MarkHidden(ignored)
	}
	for _, ignored := range []string{"isolation", "builder"} {
		f.String(ignored, "", "")
		_ = f.MarkHidden(ignored)
	}
}

func (o *options) defineInputs(f *pflag.FlagSet) {
	f.StringVarP(&o.file, "file", "f", "", "Name of the Dockerfile (default PATH/Dockerfile)")
	f.StringVar(&o.target, "target", "", "Build this `stage`")
	f.StringArrayVar(&o.buildArgs, "build-arg", nil, "Set a build-time variable (`name[=value]`)")
	f.StringArrayVar(&o.contexts, "build-context", nil, "A further context (`name=PATH|URL|docker-image://…|oci-layout://…|target:…`)")
	f.StringArrayVar(&o.secrets, "secret", nil, "A secret for RUN --mount=type=secret (`id=name[,src=file|env=variable]`)")
	f.StringArrayVar(&o.ssh, "ssh", nil, "An agent or keys for RUN --mount=type=ssh (`default|id[=socket|key[,key]]`)")
	f.StringArrayVar(&o.cacheFrom, "cache-from", nil, "Where to look for cached steps (`image` or type=local,src=…)")
	f.StringArrayVar(&o.noCacheFilter, "no-cache-filter", nil, "Do not use the cache for these `stages`")
	f.BoolVar(&o.noCache, "no-cache", false, "Do not use the cache")
	f.BoolVar(&o.pull, "pull", false, "Look for newer base images")
}

func (o *options) defineResults(f *pflag.FlagSet, getenv func(string) string) {
	f.StringArrayVarP(&o.tags, "tag", "t", nil, "Name of the image (`[registry/]name[:tag]`)")
	var platforms []string
	if p := getenv("DOCKER_DEFAULT_PLATFORM"); p != "" {
		platforms = []string{p}
	}
	f.StringSliceVar(&o.platforms, "platform", platforms, "Build for these `platforms`")
	f.StringArrayVar(&o.labels, "label", nil, "Set a label of the image (`name=value`)")
	f.StringArrayVar(&o.annotations, "annotation", nil, "Set an annotation of the image (`[level:]name=value`)")
	f.StringArrayVarP(&o.outputs, "output", "o", nil, "Where the result goes (`type=local|tar|oci|docker|image|registry,dest=…`)")
	f.BoolVar(&o.push, "push", false, "Push the image to its registry")
	f.BoolVar(&o.load, "load", false, "Keep the image in the engine; done anyway unless --output or --push say otherwise")
	f.StringArrayVar(&o.cacheTo, "cache-to", nil, "Where to store cached steps (`type=inline|local|registry,…`)")
	f.StringVar(&o.iidFile, "iidfile", "", "Write the image's ID to this `file`")
	f.StringVar(&o.metadataFile, "metadata-file", "", "Write what is known of the result to this `file`, as JSON")
	f.StringArrayVar(&o.attests, "attest", nil, "Attach an attestation (`type=sbom|provenance[,…]`)")
	f.StringVar(&o.provenance, "provenance", "", "The same as --attest=type=provenance (`true`, false, mode=max, …)")
	f.StringVar(&o.sbom, "sbom", "", "The same as --attest=type=sbom (`true`, false, generator=…)")
	f.StringVar(&o.flat, "flat", "", "Make one layer above the base, or one in all (`all`)")
	f.Lookup("flat").NoOptDefVal = flatOwn
	f.Var(words{&o.flat, flatOwn}, "squash", "")
	f.Lookup("squash").NoOptDefVal = "true"
	_ = f.MarkHidden("squash")
	f.BoolVar(&o.reproducible, "reproducible", false, "The same digest wherever and whenever it is built; times are SOURCE_DATE_EPOCH's, or 1970's")
}

// defineSingleResources are docker's older words for --resource.
func (o *options) defineSingleResources(f *pflag.FlagSet) {
	for name, short := range map[string]string{"memory": "m", "memory-swap": "", "cpu-shares": "c", "cpu-period": "", "cpu-quota": "", "cpuset-cpus": "", "cpuset-mems": ""} {
		f.VarP(resource{name, &o.resources}, name, short, "")
		_ = f.MarkHidden(name)
	}
}

// resource is a flag that is another form of --resource.
type resource struct {
	name string
	to   *[]string
}

func (r resource) String() string { return "" }
func (r resource) Type() string   { return "string" }
func (r resource) Set(value string) error {
	*r.to = append(*r.to, r.name+"="+value)
	return nil
}

// words is a switch that sets another flag to a word.
type words struct {
	to   *string
	word string
}

func (w words) String() string { return "" }
func (w words) Type() string   { return "bool" }
func (w words) Set(value string) error {
	switch value {
	case "true":
		*w.to = w.word
	case "false":
	default:
		return fmt.Errorf("%q is neither true nor false", value)
	}
	return nil
}

// again is the command line with one more flag, as a shell reads it.
func (o *options) again(flag string) string {
	var b strings.Builder
	b.WriteString("berth")
	for _, w := range o.words {
		b.WriteString(" " + quote(w))
		if w == "build" && flag != "" {
			b.WriteString(" " + flag)
			flag = ""
		}
	}
	return b.String()
}

func quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_=./:,@%+", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// removeStale takes a file away that a failure must not leave as it was.
func removeStale(path string) error {
	if path == "" {
		return nil
	}
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("remove the old --iidfile: %w", err)
	}
	return nil
}
