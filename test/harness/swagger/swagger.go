// Package swagger judges answers of the API by the description that comes with
// the module of the wire types: is the status described, and does the body have
// the described shape? Only tests use it.
package swagger

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v4"
)

// Operation is one path and method of the description.
type Operation struct {
	Method string
	Path   string // with the description's placeholders
	ID     string

	path *regexp.Regexp
	op   *openapi3.Operation
}

// Spec is the description.
type Spec struct {
	Version    string // the newest API version
	Operations []Operation
	Failure    *openapi3.Schema // of the body of an error
}

// Library has the description of each version, read when it is first asked for.
type Library struct {
	dir func() (string, error)
	mu  sync.Mutex
	all map[string]*Spec
}

// NewLibrary makes a library of the module in the module cache; its version is
// that of go.mod.
func NewLibrary() *Library {
	return &Library{dir: sync.OnceValues(moduleDir), all: map[string]*Spec{}}
}

// Newest is the description of the newest version.
func (l *Library) Newest() (*Spec, error) { return l.of("") }

// For is the description of the version that a request's path names.
func (l *Library) For(path string) (*Spec, error) {
	version := versioned.FindString(path)
	if version == "/v1.24" {
		version = "/v1.25" // the first that is described in this form
	}
	s, err := l.of(version)
	if errors.Is(err, fs.ErrNotExist) { // it is none that can be asked for
		return l.of("")
	}
	return s, err
}

func (l *Library) of(version string) (*Spec, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.all[version]; s != nil {
		return s, nil
	}
	dir, err := l.dir()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "swagger.yaml")
	if version != "" {
		file = filepath.Join(dir, "docs", version+".yaml")
	}
	s, err := load(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	l.all[version] = s
	return s, nil
}

func load(file string) (*Spec, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, err
	}
	b, err := json.Marshal(tree)
	if err != nil {
		return nil, err
	}
	var old openapi2.T
	if err := json.Unmarshal(b, &old); err != nil {
		return nil, err
	}
	doc, err := openapi2conv.ToV3(&old)
	if err != nil {
		return nil, err
	}
	loosen(doc)
	s := &Spec{Version: old.Info.Version, Failure: doc.Components.Schemas["ErrorResponse"].Value}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			s.Operations = append(s.Operations, Operation{
				Method: method, Path: path, ID: op.OperationID, op: op, path: pathPattern(path),
			})
		}
	}
	// Whole paths come before patterns that match them too.
	slices.SortFunc(s.Operations, func(a, b Operation) int {
		return cmp.Or(strings.Count(a.Path, "{")-strings.Count(b.Path, "{"), len(b.Path)-len(a.Path), strings.Compare(a.Path+a.Method, b.Path+b.Method))
	})
	return s, nil
}

// Find returns the operation of a request, whose path may name a version.
func (s *Spec) Find(method, path string) (Operation, bool) {
	path = versioned.ReplaceAllString(path, "")
	for _, o := range s.Operations {
		if o.Method == method && o.path.MatchString(path) {
			return o, true
		}
	}
	return Operation{}, false
}

var versioned = regexp.MustCompile(`^/v\d+\.\d+`)

func moduleDir() (string, error) {
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/moby/moby/api")
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOWORK=off")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	if err != nil {
		return "", fmt.Errorf("find the module of the wire types: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Names of images have slashes; IDs have none.
func pathPattern(path string) *regexp.Regexp {
	pattern := regexp.QuoteMeta(path)
	pattern = strings.ReplaceAll(pattern, `\{name\}`, `.+`)
	pattern = regexp.MustCompile(`\\\{\w+\\\}`).ReplaceAllString(pattern, `[^/]+`)
	return regexp.MustCompile(`^` + pattern + `$`)
}
