package server

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/berth-containers/berth/internal/api/version"
	"github.com/berth-containers/berth/test/harness/swagger"
)

var update = flag.Bool("update", false, "write testdata/routes.txt")

// pending are operations of the swagger that Berth has not yet. It only
// shrinks, to nothing.
var pending = strings.Fields(``)

// outside are the operations that answer as Docker does outside of a swarm, or
// without any plugin.
var outside = regexp.MustCompile(`^/(swarm|nodes|services|tasks|secrets|configs|plugins)(/|$)`)

// The list is committed: each operation of the swagger is done or answers like
// a node outside of a swarm, with the swagger's name; one that goes or comes is
// seen in the change.
func TestRoutes(t *testing.T) {
	table := map[string]string{} // operation: its line
	kind := map[string]string{}  // operation: how it answers
	for _, r := range routes(Options{}) {
		kind[r.Operation] = stateOf(r)
		table[r.Operation] = fmt.Sprintf("%-8s %-6s %-32s %s\n", kind[r.Operation], r.Method, r.Pattern, r.Operation)
	}
	compareList(t, table)
	spec, err := swagger.NewLibrary().Newest()
	if err != nil {
		t.Fatal(err)
	}
	if spec.Version != version.Newest {
		t.Errorf("the newest version is %s, that of the swagger %s", version.Newest, spec.Version)
	}
	placeholder := regexp.MustCompile(`\{\w+\}`)
	for _, o := range spec.Operations {
		line := strings.Fields(table[o.ID])
		if len(line) == 0 {
			t.Errorf("%s %s (%s) has no route", o.Method, o.Path, o.ID)
			continue
		}
		if line[1] != o.Method || placeholder.ReplaceAllString(line[2], "{}") != placeholder.ReplaceAllString(o.Path, "{}") {
			t.Errorf("%s is %s %s here; in the swagger %s %s", o.ID, line[1], line[2], o.Method, o.Path)
		}
		if missing := kind[o.ID] == "missing"; missing != slices.Contains(pending, o.ID) {
			t.Errorf("%s is missing: %t; it is in the list of pending ones: %t", o.ID, missing, !missing)
		}
	}
}

// stateOf is how a route answers.
func stateOf(r Route) string {
	for _, m := range missing {
		if m.Operation == r.Operation {
			return "missing"
		}
	}
	if outside.MatchString(r.Pattern) || r.Operation == "VolumeUpdate" { // of a cluster volume
		return "outside"
	}
	return "done"
}

func compareList(t *testing.T, table map[string]string) {
	t.Helper()
	lines := slices.SortedFunc(maps.Values(table), func(a, b string) int {
		x, y := strings.Fields(a), strings.Fields(b)
		return strings.Compare(x[2]+x[1], y[2]+y[1])
	})
	got := strings.Join(lines, "")
	const file = "testdata/routes.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("the routes are not those of %s; if that is meant: go test ./internal/api/server -update\n%s", file, got)
	}
}

func TestFind(t *testing.T) {
	rt := newRouter(routes(Options{}))
	for _, row := range []struct{ method, path, operation, name string }{
		{"GET", "/containers/json", "ContainerList", ""},
		{"GET", "/containers/json/json", "ContainerInspect", "json"},
		{"GET", "/containers/a/b/json", "", ""},
		{"DELETE", "/containers/a", "ContainerDelete", "a"},
		{"GET", "/images/json", "ImageList", ""},
		{"GET", "/images/library/busybox:1/json", "ImageInspect", "library/busybox:1"},
		{"GET", "/images/r:5000/a/b@sha256:ab/json", "ImageInspect", "r:5000/a/b@sha256:ab"},
		{"GET", "/images/a/get", "ImageGet", "a"},
		{"GET", "/images/get", "ImageGetAll", ""},
		{"DELETE", "/images/r:5000/a/json", "ImageDelete", "r:5000/a/json"},
		{"POST", "/images/json", "", ""},
		{"GET", "/distribution/a/b/json", "DistributionInspect", "a/b"},
		{"GET", "/containers//json", "", ""},
		{"GET", "/", "", ""},
		{"GET", "/nosuch", "", ""},
		{"PATCH", "/containers/json", "", ""},
	} {
		r, name, err := rt.find(row.method, row.path)
		if r.Operation != row.operation || name != row.name || (err == nil) != (row.operation != "") {
			t.Errorf("%s %s: %s %q %v", row.method, row.path, r.Operation, name, err)
		}
	}
}

func FuzzFind(f *testing.F) {
	rt := newRouter(routes(Options{}))
	for _, p := range []string{"/images//json", "/images/json/json", "/containers/x", "", "//"} {
		f.Add("GET", p)
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		if r, _, err := rt.find(method, path); err == nil && r.serve == nil {
			t.Error(r)
		}
	})
}
