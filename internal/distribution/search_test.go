package distribution

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestSearch(t *testing.T) {
	searches := func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"results":[{"name":"one","star_count":3,"description":"q=%s n=%s"},{"name":"two"},{"name":"three"}]}`, r.FormValue("q"), r.FormValue("n"))
	}
	lists := func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("last") == "" {
			w.Header().Set("Link", `</v2/_catalog?last=b>; rel="next"`)
			fmt.Fprint(w, `{"repositories":["box/a","b"]}`)
			return
		}
		fmt.Fprint(w, `{"repositories":["big/box","c"]}`)
	}
	for name, tc := range map[string]struct {
		path  string
		serve http.HandlerFunc
		limit int
		want  string
		kind  func(error) bool
	}{
		"it searches":           {"/v1/search", searches, 2, "one two", nil},
		"it lists":              {"/v2/_catalog", lists, 25, "HOST/box/a HOST/big/box", nil},
		"it lists, limited":     {"/v2/_catalog", lists, 1, "HOST/box/a", nil},
		"it does neither":       {"/other", lists, 25, "", errdefs.IsNotImplemented},
		"it lists to others":    {"/v2/_catalog", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, 25, "", errdefs.IsUnauthorized},
		"its list is something": {"/v2/_catalog", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, 25, "", errdefs.IsUnavailable},
	} {
		mux := http.NewServeMux()
		mux.HandleFunc(tc.path, tc.serve)
		web := httptest.NewServer(mux)
		host := strings.TrimPrefix(web.URL, "http://")
		c := New(Options{})
		found, err := c.Search(context.Background(), host, "box", tc.limit, Credentials{})
		var names []string
		for _, f := range found {
			names = append(names, strings.Replace(f.Name, host, "HOST", 1))
		}
		if got := strings.Join(names, " "); got != tc.want || (err == nil) != (tc.kind == nil) || err != nil && !tc.kind(err) {
			t.Errorf("%s: %q %v", name, got, err)
		}
		c.Close()
		web.Close()
	}
}
