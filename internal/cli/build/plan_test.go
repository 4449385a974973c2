package build

import (
	"bytes"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/berth-containers/berth/internal/cli/env"
)

// parsed is a plan as text, or the error.
func parsed(t *testing.T, in string, environment map[string]string, args ...string) string {
	t.Helper()
	o := &options{}
	f := pflag.NewFlagSet("build", pflag.ContinueOnError)
	getenv := func(name string) string { return environment[name] }
	o.define(f, getenv)
	if err := f.Parse(args); err != nil {
		return err.Error()
	}
	o.context = f.Arg(0)
	e := &env.Env{In: strings.NewReader(in), Out: io.Discard, Err: io.Discard, Getenv: getenv, ConfigDir: t.TempDir()}
	p, err := o.plan(e)
	if err != nil {
		return err.Error()
	}
	defer p.close()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(p.solve.FrontendAttrs)) {
		if value := p.solve.FrontendAttrs[name]; name != "image-resolve-mode" || value != "local" {
			b.WriteString(name + "=" + value + "\n")
		}
	}
	line := func(mark, kind string, attrs map[string]string) {
		b.WriteString(mark + " " + kind)
		for _, name := range slices.Sorted(maps.Keys(attrs)) {
			b.WriteString(" " + name + "=" + attrs[name])
		}
		b.WriteString("\n")
	}
	for _, x := range p.solve.Exports {
		line(">", x.Type, x.Attrs)
	}
	for _, x := range p.solve.CacheImports {
		line("cache from", x.Type, x.Attrs)
	}
	for _, x := range p.solve.CacheExports {
		line("cache to", x.Type, x.Attrs)
	}
	for _, a := range p.solve.AllowedEntitlements {
		b.WriteString("allow " + a + "\n")
	}
	return b.String()
}

func TestPlan(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"Dockerfile": "FROM scratch\n", "other": "FROM scratch\n", "secret": "s"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	base := "filename=Dockerfile\n"
	for _, c := range []struct{ line, want string }{
		{".", base + "> moby\n"},
		{"-t a -t b:1 .", base + "> moby name=a,b:1\n"},
		{"-f other .", "filename=other\n> moby\n"},
		{"--push -t r/a .", base + "> moby name=r/a push=true\n"},
		{"--push .", "a push needs the image's name: give one by --tag"},
		{"-o out .", base + "> local\n"},
		{"-o type=tar,dest=x.tar --load -t a .", base + "> tar\n> moby name=a\n"},
		{"-o type=registry,compression=zstd -t a .", base + "> moby compression=zstd name=a push=true\n"},
		{"-o type=docker .", base + "> moby\n"},
		{"-o type=oci,dest=x -t a .", base + "> oci name=a\n"},
		{"-o type=cacheonly .", base},
		{"-o type=nothing .", `--output type=nothing: there is no type "nothing": it is local, tar, oci, docker, image, registry or cacheonly`},
		{"-o type=local .", "--output type=local: name a folder by dest="},
		{"--flat .", base + "> moby flat=true\n"},
		{"--flat=all .", base + "> moby flat=all\n"},
		{"--flat=some .", `invalid value "some" for --flat: it takes nothing or all`},
		{"--squash .", base + "> moby flat=true\n"},
		{"--reproducible .", "build-arg:SOURCE_DATE_EPOCH=0\n" + base + "> moby rewrite-timestamp=true\n"},
		{"--build-arg A=1 --build-arg B --build-arg HERE .", "build-arg:A=1\nbuild-arg:HERE=yes\n" + base + "> moby\n"},
		{"--build-arg =1 .", `invalid value "=1" for --build-arg: write name=value`},
		{"--label a=b=c --target x --pull .", base + "image-resolve-mode=pull\nlabel:a=b=c\ntarget=x\n> moby\n"},
		{"--no-cache .", base + "no-cache=\n> moby\n"},
		{"--no-cache-filter a --no-cache-filter b .", base + "no-cache=a,b\n> moby\n"},
		{"--no-cache --no-cache-filter a .", "--no-cache is for all stages already: leave out --no-cache-filter"},
		{"--platform linux/arm64,linux/amd64 .", base + "platform=linux/arm64,linux/amd64\n> moby\n"},
		{"--platform a/b/c/d .", "invalid value \"a/b/c/d\" for --platform"},
		{"--network none .", base + "force-network-mode=none\n> moby\n"},
		{"--network mine .", `invalid value "mine" for --network: a build's is default, host or none`},
		{"--add-host a:1.2.3.4 --add-host b=[::1] .", "add-hosts=a=1.2.3.4,b=::1\n" + base + "> moby\n"},
		{"--add-host a:x .", `invalid value "a:x" for --add-host: "x" is no address`},
		{"--ulimit nofile=10:20 --shm-size 1m -m 2g .", base + "memory=2147483648\nshm-size=1048576\nulimit=nofile=10:20\n> moby\n"},
		{"--ulimit x=1 .", "--ulimit x=1: invalid ulimit type: x"},
		{"--resource disk=1 .", `invalid value "disk=1" for --resource`},
		{"--provenance mode=max --sbom true .", "attest:provenance=mode=max\nattest:sbom=\n" + base + "> moby\n"},
		{"--provenance false --attest type=sbom,generator=x .", "attest:sbom=generator=x\n" + base + "> moby\n"},
		{"--secret id=s,src=secret --build-context l=. --build-context i=docker-image://x .", "context:i=docker-image://x\ncontext:l=local:_l\n" + base + "> moby\n"},
		{"--secret src=secret .", "--secret src=secret: name it by id="},
		{"--secret id=s,file=secret .", `--secret id=s,file=secret: there is no field "file": it has id, src, env and type`},
		{"--secret id=s,src=nothing .", "read a secret"},
		{"--build-context l=nothing .", "--build-context l=nothing: there is no folder nothing"},
		{"--cache-from user/app --cache-to type=inline .", base + "> moby\ncache from registry ref=user/app\ncache to inline\n"},
		{"--cache-to type=local,dest=x,mode=max --build-arg BUILDKIT_INLINE_CACHE=1 .", "build-arg:BUILDKIT_INLINE_CACHE=1\n" + base + "> moby\ncache to local dest=x mode=max\ncache to inline\n"},
		{"--network host --allow security.insecure .", base + "force-network-mode=host\n> moby\nallow security.insecure\nallow network.host\n"},
		{"--cache-to src=x .", "--cache-to src=x: name a type"},
		{"--check .", base + "frontend.caps=moby.buildkit.frontend.subrequests\nrequestid=frontend.lint\n"},
		{"--call outline,format=json .", `invalid field "outline"`},
		{"--call method=outline,format=json .", base + "frontend.caps=moby.buildkit.frontend.subrequests\nrequestid=frontend.outline\n"},
		{"--call guess .", `invalid value "guess" for --call: it takes build, check, outline or targets`},
		{"--annotation a=b --annotation index:c=d .", base + "> moby annotation-index.c=d annotation.a=b\n"},
		{"https://example.com/a.git#main", "context=https://example.com/a.git#main\n" + base + "> moby\n"},
		{"nothing", `unable to prepare context: path "nothing" not found`},
		{"secret", "the context secret is no folder"},
		{"-f Dockerfil .", "there is no Dockerfile Dockerfil; there is Dockerfile: name one by --file"},
		{"-f - -", "standard input cannot be both the context and the Dockerfile"},
		{"-f other -", "standard input is no archive, and --file names another Dockerfile"},
		{"-", "dockerfilekey=dockerfile\n" + base + "> moby\n"},
		{"-f - .", "dockerfilekey=dockerfile\n" + base + "> moby\n"},
	} {
		t.Run(c.line, func(t *testing.T) {
			t.Chdir(dir)
			got := parsed(t, "FROM scratch\n", map[string]string{"HERE": "yes"}, strings.Fields(c.line)...)
			if got != c.want && (strings.Contains(c.want, "\n") || !strings.HasPrefix(got, c.want)) {
				t.Errorf("%s\ngot  %q\nwant %q", c.line, got, c.want)
			}
		})
	}
}

func TestAgain(t *testing.T) {
	o := &options{words: []string{"-H", "unix:///x", "build", "-t", "a b", "it's"}}
	if got, want := o.again("--debug-shell"), `berth -H unix:///x build --debug-shell -t 'a b' 'it'\''s'`; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

func TestNearest(t *testing.T) {
	for _, c := range []struct{ name, names, want string }{
		{"helo.txt", "hello.txt other", "hello.txt"},
		{"bsae", "base build", "base"},
		{"busybox", "build base", ""},
		{"x", "y", "y"},
		{"src/man.c", "src/main.c src/mad", "src/main.c"},
	} {
		if got := nearest(c.name, strings.Fields(c.names)); got != c.want {
			t.Errorf("nearest to %s of %s: %q; want %q", c.name, c.names, got, c.want)
		}
	}
}

func TestHint(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"hello.txt", "ignored"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := &plan{contextDir: dir}
	for text, want := range map[string]string{
		`failed to calculate checksum of ref a::b: "/helo.txt": not found`: `has no "helo.txt". Did you mean "hello.txt"?`,
		`"/sub/hello.txt": not found`:                                      `Did you mean "hello.txt"?`,
		`"/ignored": not found`:                                            ".dockerignore keeps it from the build",
		"bsae: failed to resolve source metadata for docker.io/library/bsae:latest: no such host": `Did you mean the stage "base"?`,
		"something else": "",
	} {
		if got := p.hint(text, []byte("FROM x AS base\n")); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q; want %q", text, got, want)
		}
	}
}

func TestArchiveOrDockerfile(t *testing.T) {
	tar := append(make([]byte, 257), []byte("ustar\x0000")...)
	for head, want := range map[string]bool{"FROM x": false, "": false, "\x1f\x8b\x08": true, string(tar): true, "BZh9": true} {
		if got := isArchive([]byte(head)); got != want {
			t.Errorf("%q: %v", head, got)
		}
	}
}

func FuzzSpec(f *testing.F) {
	for _, text := range []string{"type=local,dest=x", "user/app", `type=x,"a=b,c"`, "", "=", ",", "a=b,c"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSpec("output", text)
		if err == nil && s.first != "" && len(s.keys) > 0 {
			t.Errorf("%q is both a word and %v", text, s.keys)
		}
		_, _ = export(text, &bytes.Buffer{}, false)
		_, _ = caches("cache-from", []string{text})
		_, _ = attestations([]string{text}, text, "")
	})
}
