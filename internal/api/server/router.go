package server

import (
	"slices"
	"strings"

	"github.com/containerd/errdefs"
)

// Route is one operation of the API.
type Route struct {
	Method string
	// Pattern has at most one placeholder: {id} is one segment of the path,
	// {name} one or more, as names of images have slashes.
	Pattern   string
	Operation string // the swagger's operationId

	serve  handler
	stream bool // ends when the server shuts down
}

// router finds routes: whole paths first, then the longest pattern.
type router struct {
	fixed    map[string]map[string]Route // path → method
	patterns []pattern
}

type pattern struct {
	Route
	prefix, suffix string
	slashes        bool
}

func newRouter(table []Route) *router {
	rt := &router{fixed: map[string]map[string]Route{}}
	for _, r := range table {
		prefix, rest, ok := strings.Cut(r.Pattern, "{")
		if !ok {
			if rt.fixed[r.Pattern] == nil {
				rt.fixed[r.Pattern] = map[string]Route{}
			}
			rt.fixed[r.Pattern][r.Method] = r
			continue
		}
		name, suffix, _ := strings.Cut(rest, "}")
		rt.patterns = append(rt.patterns, pattern{r, prefix, suffix, name == "name"})
	}
	slices.SortStableFunc(rt.patterns, func(a, b pattern) int { return len(b.Pattern) - len(a.Pattern) })
	return rt
}

var errNoPage = errdefs.ErrNotFound.WithMessage("page not found")

// find returns the route and what stands for its placeholder.
func (rt *router) find(method, path string) (Route, string, error) {
	if r, ok := rt.fixed[path][method]; ok {
		return r, "", nil
	}
	for _, p := range rt.patterns {
		if p.Method != method {
			continue
		}
		value, ok := strings.CutPrefix(path, p.prefix)
		if !ok {
			continue
		}
		value, ok = strings.CutSuffix(value, p.suffix)
		if ok && value != "" && (p.slashes || !strings.Contains(value, "/")) {
			return p.Route, value, nil
		}
	}
	return Route{}, "", errNoPage
}
