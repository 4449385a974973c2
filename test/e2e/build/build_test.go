// Package build builds a collection of Dockerfiles by every way that there is
// and compares what comes out.
//
// testdata/cases holds them, a folder each. What an image must be is in
// testdata/expected, written by BuildKit itself (make bin/buildkitd; go test
// -run TestJudges -judge=buildkit -update) and compared with what Debian's
// docker and buildah make of it, here and in every run. Each case says who
// cannot build it, or builds something else, and why.
package build

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

var (
	judge  = flag.String("judge", "", "buildkit or docker: let this one build instead of Berth")
	update = flag.Bool("update", false, "take what the judge builds for what is expected")
)

func TestMain(m *testing.M) { harness.Main(m) }

// The collection is at least as large as it was promised to be.
func TestCollection(t *testing.T) {
	if n := len(cases(t)); n < 60 {
		t.Errorf("%d cases", n)
	}
	images, err := filepath.Glob("testdata/expected/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range images {
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		if _, err := os.Stat(filepath.Join("testdata", "cases", name, "Dockerfile")); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// ours is an engine with the base image and the stock client's plug-in.
func ours(t *testing.T, p *place) *harness.Engine {
	t.Helper()
	e := harness.New(t)
	e.OK("load", "-i", p.base)
	plugins := filepath.Join(e.Dir, "docker-config", "cli-plugins")
	if err := os.MkdirAll(plugins, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(harness.Bin(t, "docker-buildx"), filepath.Join(plugins, "docker-buildx")); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestClassic(t *testing.T) {
	p := newPlace(t)
	all(t, p, "classic", ofEngine(ours(t, p), "DOCKER_BUILDKIT=0", "docker", "build"))
}

func TestBuildx(t *testing.T) {
	p := newPlace(t)
	all(t, p, "buildx", ofEngine(ours(t, p), "DOCKER_BUILDKIT=1", "docker", "buildx", "build"))
}

func TestBerth(t *testing.T) {
	p := newPlace(t)
	all(t, p, "berth", ofEngine(ours(t, p), "BERTH=1", "berth", "build"))
}

func TestBuildah(t *testing.T) {
	p := newPlace(t)
	all(t, p, "buildah", buildah(t, p))
}

func TestJudges(t *testing.T) {
	if *judge == "" {
		t.Skip("no judge is named")
	}
	p := newPlace(t)
	switch *judge {
	case "buildkit":
		all(t, p, "buildx", upstream(t, p))
	case "docker":
		all(t, p, "docker", debian(t, p))
	default:
		t.Fatalf("there is no judge %q", *judge)
	}
}

// all builds each case that the builder can build.
func all(t *testing.T, p *place, name string, b builder) {
	t.Helper()
	for _, c := range cases(t) {
		if c.not[name] != "" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.check(t, p, b)
		})
	}
}

func (c buildCase) check(t *testing.T, p *place, b builder) {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "image.tar")
	err := b(t, c.context(t), c.args(p), archive)
	if c.fails != "" {
		if err == nil || !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: %v; want an error with %q", c.shows, err, c.fails)
		}
		return
	}
	if err != nil {
		t.Fatalf("%s: %v", c.shows, err)
	}
	image, err := readPicture(archive)
	if err != nil {
		t.Fatalf("%s: %v", c.shows, err)
	}
	got := image.text(p.basePicture)
	file := filepath.Join("testdata", "expected", c.name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s (- expected, + got; nothing: in another order)\n%s", c.shows, difference(string(want), got))
	}
}

// difference lists the lines that only one of two texts has.
func difference(want, got string) string {
	only := func(mark, a, b string) string {
		there := map[string]bool{}
		for line := range strings.Lines(b) {
			there[line] = true
		}
		var out strings.Builder
		for line := range strings.Lines(a) {
			if !there[line] {
				out.WriteString(mark + line)
			}
		}
		return out.String()
	}
	return only("- ", want, got) + only("+ ", got, want)
}
