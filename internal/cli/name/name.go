// Package name splits image names as far as a client must: the engine is the
// one that judges them. (The reference parser of the field compiles its
// patterns at every start, which a command line would pay for each time.)
package name

import "strings"

// Hub is the registry of names that name none.
const Hub = "docker.io"

// Name is a name as the user typed it, in parts.
type Name struct {
	Repository string // as typed
	Tag        string // without a default
	Digest     string
}

// Split takes tag and digest off.
func Split(s string) Name {
	var n Name
	n.Repository, n.Digest, _ = strings.Cut(s, "@")
	if i := strings.LastIndexByte(n.Repository, ':'); i >= 0 && !strings.Contains(n.Repository[i:], "/") {
		n.Repository, n.Tag = n.Repository[:i], n.Repository[i+1:]
	}
	return n
}

// Registry is the host that the repository is on.
func (n Name) Registry() string {
	host, _, ok := strings.Cut(n.Repository, "/")
	if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" {
		return Hub
	}
	return host
}

// Place is the repository with its registry.
func (n Name) Place() string {
	s := n.Repository
	if n.Registry() == Hub && !strings.HasPrefix(s, Hub+"/") {
		if !strings.Contains(s, "/") {
			s = "library/" + s
		}
		s = Hub + "/" + s
	}
	return s
}

// Full is the name with registry and tag, as pull prints it.
func (n Name) Full() string {
	s := n.Place()
	switch {
	case n.Digest != "":
		return s + "@" + n.Digest
	case n.Tag == "":
		return s + ":latest"
	}
	return s + ":" + n.Tag
}
