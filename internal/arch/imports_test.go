package arch

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/berth-containers/berth/internal/"

// layers lists the parts from the ground up. A part may import only parts of
// lower layers; parts that share a layer don't know each other.
var layers = []string{
	"arch undo atomicfile boltfile filters leanjson version",
	"sys",
	"oci container",
	"runtime shim logs snapshot distribution network volume events",
	"archive image spec",
	"engine build",
	"config",
	"api cli registry",
}

// within are the arrows between parts of one layer that are meant: the
// supervisor is where the runtime, the logs and the shim's protocol meet.
var within = map[string]string{
	"shim/supervisor": "runtime logs shim",
	"container":       "oci",
}

// It parses files itself: a test that runs "go list" would pass from the test
// cache after a bad import is added.
func TestImportsPointDown(t *testing.T) {
	layer := map[string]int{}
	for i, parts := range layers {
		for _, p := range strings.Fields(parts) {
			layer[p] = i + 1
		}
	}
	for _, path := range goFiles(t, "..") {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		rel := strings.TrimPrefix(filepath.ToSlash(path), "../")
		from := part(rel)
		if layer[from] == 0 {
			t.Errorf("%s: give the part %q a layer", path, from)
			continue
		}
		for _, name := range imports(t, path) {
			target, ours := strings.CutPrefix(name, module)
			to := part(target)
			if !ours || to == from || layer[to] < layer[from] || allowed(rel, to) {
				continue
			}
			t.Errorf("%s: %s may not import %s", path, from, to)
		}
	}
}

func allowed(rel, to string) bool {
	for prefix, parts := range within {
		if strings.HasPrefix(rel, prefix+"/") {
			for _, p := range strings.Fields(parts) {
				if p == to {
					return true
				}
			}
		}
	}
	return false
}

// kernel are the only rooms that speak to the kernel by golang.org/x/sys/unix.
var kernel = []string{"../sys/", "../runtime/"}

func TestOnlySysSpeaksToTheKernel(t *testing.T) {
	for _, root := range []string{"..", "../../cmd"} {
		for _, path := range goFiles(t, root) {
			if strings.HasSuffix(path, "_test.go") || hasAnyPrefix(filepath.ToSlash(path), kernel) {
				continue
			}
			for _, name := range imports(t, path) {
				if name == "golang.org/x/sys/unix" {
					t.Errorf("%s: imports x/sys/unix; put the call into internal/sys", path)
				}
			}
		}
	}
}

func hasAnyPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

func imports(t *testing.T, path string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, imp := range f.Imports {
		name, err := strconv.Unquote(imp.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

// part returns "network" for "network/dns/server.go".
func part(rel string) string {
	name, _, _ := strings.Cut(rel, "/")
	return name
}
