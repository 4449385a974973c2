package rights

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/docker/go-units"
	"golang.org/x/crypto/bcrypt"
)

// Error is a place in a rights file and what is wrong there.
type Error struct {
	File         string
	Line, Column int
	Text         string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s: line %d, column %d: %s", e.File, e.Line, e.Column, e.Text)
}

// word is a piece of a line, with the column of its first byte, from 1.
type word struct {
	text   string
	column int
}

var (
	validName    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$`)
	validPattern = regexp.MustCompile(`^[a-z0-9*][a-z0-9._*-]*(/[a-z0-9*][a-z0-9._*-]*)*$`)
)

// Parse reads a rights file; file is its name for errors.
func Parse(file string, text []byte) (*Rights, error) {
	p := parser{file: file, rights: &Rights{identities: map[string]identity{}}}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		p.line = i + 1
		if err := p.parseLine(line); err != nil {
			return nil, err
		}
	}
	// After the last line, so that what is wrong inside it is said first.
	if last := lines[len(lines)-1]; strings.TrimSpace(last) != "" {
		return nil, p.fail(len(last)+1, "the last line has no end; was the file cut off while it was written?")
	}
	for _, used := range p.used {
		if !p.rights.Known(used.text) {
			return nil, &Error{File: file, Line: used.line, Column: used.column, Text: fmt.Sprintf(
				"%q is no user, key or certificate of this file; add a line for it, or allow %q or %q", used.text, Users, Everyone)}
		}
	}
	return p.rights, nil
}

type parser struct {
	file   string
	line   int
	rights *Rights
	used   []usedName // names in rules, judged at the end
}

type usedName struct {
	word
	line int
}

func (p *parser) fail(column int, format string, args ...any) error {
	return &Error{File: p.file, Line: p.line, Column: column, Text: fmt.Sprintf(format, args...)}
}

// words splits at blanks; a # begins a comment only at a word's beginning.
func words(line string) []word {
	var list []word
	for i := 0; i < len(line); {
		switch c := line[i]; {
		case c == ' ' || c == '\t' || c == '\r':
			i++
		case c == '#':
			return list
		default:
			end := i + len(line[i:])
			if n := strings.IndexAny(line[i:], " \t\r"); n >= 0 {
				end = i + n
			}
			list = append(list, word{line[i:end], i + 1})
			i = end
		}
	}
	return list
}

func (p *parser) parseLine(line string) error {
	w := words(line)
	if len(w) == 0 {
		return nil
	}
	want := map[string]int{"user": 3, "key": 3, "cert": 2, "htpasswd": 2, "allow": 4, "quota": 3}[w[0].text]
	switch {
	case want == 0:
		return p.fail(w[0].column, "unknown word %q; a line begins with user, key, cert, htpasswd, allow or quota", w[0].text)
	case len(w) < want:
		return p.fail(len(line)+1, "something is missing: %s", forms[w[0].text])
	case len(w) > want && w[0].text != "allow":
		return p.fail(w[want].column, "%q is too much: %s", w[want].text, forms[w[0].text])
	}
	switch w[0].text {
	case "user", "key", "cert":
		return p.identity(w)
	case "htpasswd":
		return p.readHtpasswd(w[1])
	case "allow":
		return p.allow(w)
	}
	return p.quota(w)
}

var forms = map[string]string{
	"user":     "user NAME BCRYPT-HASH",
	"key":      "key NAME sha256:HASH",
	"cert":     "cert COMMON-NAME",
	"htpasswd": "htpasswd FILE",
	"allow":    "allow NAME pull|push|delete|all[,…] REPOSITORY…",
	"quota":    "quota REPOSITORY SIZE",
}

func (p *parser) identity(w []word) error {
	id := identity{kind: kind(w[0].text)}
	if id.kind != cert {
		id.hash = w[2].text
		if err := checkHash(id); err != nil {
			return p.fail(w[2].column, "%v; make this line with berth-registry %s add", err, id.kind)
		}
	}
	return p.add(w[1], id)
}

func (p *parser) add(name word, id identity) error {
	switch {
	case !validName.MatchString(name.text):
		return p.fail(name.column, "%q is no name: letters, digits and ._@+- only", name.text)
	case name.text == Everyone || name.text == Users:
		return p.fail(name.column, "%q is the name of a group", name.text)
	case p.rights.Known(name.text):
		return p.fail(name.column, "%q is there already", name.text)
	}
	p.rights.identities[name.text] = id
	return nil
}

func checkHash(id identity) error {
	if id.kind == user {
		if _, err := bcrypt.Cost([]byte(id.hash)); err != nil {
			return fmt.Errorf("the password's hash is not one of bcrypt")
		}
		return nil
	}
	sum, ok := strings.CutPrefix(id.hash, "sha256:")
	if b, err := hex.DecodeString(sum); !ok || err != nil || len(b) != 32 {
		return fmt.Errorf("the key's hash is not sha256: and 64 hexadecimal digits")
	}
	return nil
}

// readHtpasswd takes the users of another file; an error in it is of that file.
func (p *parser) readHtpasswd(path word) error {
	name := path.text
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(p.file), name)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return p.fail(path.column, "read htpasswd file: %v", err)
	}
	p.rights.htpasswd = append(p.rights.htpasswd, name)
	inner := parser{file: name, rights: p.rights}
	for i, line := range strings.Split(string(text), "\n") {
		inner.line = i + 1
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		login, hash, ok := strings.Cut(line, ":")
		id := identity{kind: user, hash: hash}
		if !ok || checkHash(id) != nil {
			return inner.fail(len(login)+2, "the password's hash is not one of bcrypt; make it with htpasswd -B")
		}
		if err := inner.add(word{login, 1}, id); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) allow(w []word) error {
	r := rule{name: w[1].text}
	column := w[2].column
	for _, text := range strings.Split(w[2].text, ",") {
		switch text {
		case "all":
			r.actions = append(r.actions, Pull, Push, Delete)
		case string(Push):
			r.actions = append(r.actions, Pull, Push)
		case string(Pull), string(Delete):
			r.actions = append(r.actions, Action(text))
		default:
			return p.fail(column, "unknown right %q; it is pull, push, delete or all", text)
		}
		column += len(text) + 1
	}
	if p.rights.identities[r.name].kind == key && slices.ContainsFunc(r.actions, func(a Action) bool { return a != Pull }) {
		return p.fail(w[2].column, "%q is a deploy key, which can only pull; make it a user to let it do more", r.name)
	}
	for _, pattern := range w[3:] {
		if !validPattern.MatchString(pattern.text) {
			return p.fail(pattern.column, "%q is no repository: lower-case letters, digits and ._-/ with * or **", pattern.text)
		}
		r.patterns = append(r.patterns, pattern.text)
	}
	if r.name != Everyone && r.name != Users {
		p.used = append(p.used, usedName{w[1], p.line})
	}
	p.rights.rules = append(p.rights.rules, r)
	return nil
}

func (p *parser) quota(w []word) error {
	if !validPattern.MatchString(w[1].text) {
		return p.fail(w[1].column, "%q is no repository: lower-case letters, digits and ._-/ with * or **", w[1].text)
	}
	n, err := units.FromHumanSize(w[2].text)
	if err != nil || n < 0 {
		return p.fail(w[2].column, "%q is no size, such as 500MB or 20GB", w[2].text)
	}
	p.rights.quotas = append(p.rights.quotas, Quota{w[1].text, n})
	return nil
}
