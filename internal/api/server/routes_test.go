package server

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/routes.txt")

// The list is committed: an operation that goes or comes is seen in the change.
func TestRoutes(t *testing.T) {
	var got bytes.Buffer
	table := routes(Options{})
	slices.SortFunc(table, func(a, b Route) int { return bytes.Compare([]byte(a.Pattern+a.Method), []byte(b.Pattern+b.Method)) })
	absent := map[string]bool{}
	for _, r := range missingRoutes() {
		absent[r.Operation] = true
	}
	for _, r := range table {
		state := "served"
		if absent[r.Operation] {
			state = "refused"
		}
		fmt.Fprintf(&got, "%-7s %-6s %-32s %s\n", state, r.Method, r.Pattern, r.Operation)
	}
	const file = "testdata/routes.txt"
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got.Bytes()) {
		t.Errorf("the routes are not those of %s; if that is meant: go test ./internal/api/server -update\n%s", file, got.String())
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
