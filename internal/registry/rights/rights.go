// Package rights says who may do what in a registry: one text file that a
// person can read, with users, deploy keys, rules for repositories and quotas.
//
//	# who
//	user alice $2a$10$…                  password, hashed by bcrypt
//	key  ci    sha256:…                  deploy key: can only pull, whatever the rules say
//	cert build-7                         comes with a client certificate of that common name
//	htpasswd /etc/registry/htpasswd      more users, from a file of Apache's format
//	# may do what, where
//	allow alice    all       team/**
//	allow ci       pull      team/app team/web
//	allow everyone pull      public/*
//	quota team/** 20GB
//
// "everyone" includes who has no name, "users" is everyone who has one. Push
// includes pull. In a pattern, * stands for any part of one component of a
// repository's name and ** for any number of components.
//
// There are only grants, so a file that lost its end gives fewer rights, never
// more; and a last line without its newline is refused as torn. A Source reads
// the file again when it changed and keeps what it had if that is wrong.
package rights

import (
	"slices"
	"strings"
)

// Action is one thing to do with a repository.
type Action string

// The actions that a rule can allow.
const (
	Pull   Action = "pull"
	Push   Action = "push"
	Delete Action = "delete"
)

// Names that mean more than one.
const (
	Everyone = "everyone"
	Users    = "users"
)

// kind is how somebody proves to be who they say.
type kind string

const (
	user kind = "user"
	key  kind = "key"
	cert kind = "cert"
)

type identity struct {
	kind kind
	hash string // empty for cert
}

type rule struct {
	name     string
	actions  []Action
	patterns []string
}

// Quota limits what the repositories of a pattern hold together.
type Quota struct {
	Pattern string
	Bytes   int64
}

// Rights is one version of the file. It never changes.
type Rights struct {
	identities map[string]identity
	rules      []rule
	quotas     []Quota
	htpasswd   []string
}

// Allowed says whether somebody may act on a repository. The empty name is
// somebody who has none.
func (r *Rights) Allowed(name string, action Action, repository string) bool {
	if r.identities[name].kind == key && action != Pull {
		return false
	}
	return slices.ContainsFunc(r.rules, func(rule rule) bool {
		return rule.concerns(name) && slices.Contains(rule.actions, action) &&
			slices.ContainsFunc(rule.patterns, func(p string) bool { return Match(p, repository) })
	})
}

func (r rule) concerns(name string) bool {
	return r.name == Everyone || r.name == Users && name != "" || r.name == name && name != ""
}

// Known says whether there still is such a user, key or certificate.
func (r *Rights) Known(name string) bool {
	_, ok := r.identities[name]
	return ok
}

// Fingerprint changes when the credential of a name does; it ties what was
// handed out for an old password to that password.
func (r *Rights) Fingerprint(name string) string {
	id := r.identities[name]
	return string(id.kind) + " " + id.hash
}

// Quotas lists the quotas that count for a repository.
func (r *Rights) Quotas(repository string) []Quota {
	var list []Quota
	for _, q := range r.quotas {
		if Match(q.Pattern, repository) {
			list = append(list, q)
		}
	}
	return list
}

// Match says whether a repository's name is of a pattern.
func Match(pattern, repository string) bool {
	return matchAll(strings.Split(pattern, "/"), strings.Split(repository, "/"))
}

func matchAll(patterns, names []string) bool {
	switch {
	case len(patterns) == 0:
		return len(names) == 0
	case patterns[0] == "**":
		for i := range len(names) + 1 {
			if matchAll(patterns[1:], names[i:]) {
				return true
			}
		}
		return false
	case len(names) == 0:
		return false
	}
	return matchOne(patterns[0], names[0]) && matchAll(patterns[1:], names[1:])
}

// matchOne matches one component; * is any run of characters in it.
func matchOne(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == name
	}
	rest, ok := strings.CutPrefix(name, parts[0])
	if !ok {
		return false
	}
	for _, middle := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, middle)
		if i < 0 {
			return false
		}
		rest = rest[i+len(middle):]
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}
