package build

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A buildCase is a folder of testdata/cases: a context with its Dockerfile. The
// Dockerfile's leading comments say what it shows and how it is built.
type buildCase struct {
	name  string
	shows string
	with  []string          // flags, the same words for every client
	fails string            // the build ends with an error that has this text
	not   map[string]string // client or judge → why it cannot build it
}

// clients and judges that a case can be kept from.
var builders = []string{"classic", "buildx", "berth", "buildah", "docker"}

// readCase reads "# Word: text" lines up to the first instruction.
func readCase(path string) (buildCase, error) {
	c := buildCase{name: filepath.Base(filepath.Dir(path)), not: map[string]string{}}
	f, err := os.Open(path)
	if err != nil {
		return c, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		comment, ok := strings.CutPrefix(lines.Text(), "#")
		if !ok {
			break
		}
		word, text, _ := strings.Cut(strings.TrimSpace(comment), ": ")
		who, not := strings.CutPrefix(word, "Not by ")
		switch {
		case word == "Shows":
			c.shows = text
		case word == "With":
			c.with = append(c.with, strings.Fields(text)...)
		case word == "Fails":
			c.fails = text
		case not:
			for _, b := range strings.Split(who, ", ") {
				if !slices.Contains(builders, b) {
					return c, fmt.Errorf("%s: no builder is called %q", path, b)
				}
				c.not[b] = text
			}
		}
	}
	if c.shows == "" {
		return c, fmt.Errorf("%s: no comment says what it shows", path)
	}
	return c, lines.Err()
}

// cases are all, by name.
func cases(t *testing.T) []buildCase {
	t.Helper()
	files, err := filepath.Glob("testdata/cases/*/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	var all []buildCase
	for _, path := range files {
		c, err := readCase(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// args are the flags, with what is known only when the test runs.
func (c buildCase) args(p *place) []string {
	var args []string
	for _, a := range c.with {
		args = append(args, strings.NewReplacer("{server}", p.server, "{key}", p.key).Replace(a))
	}
	return args
}

// context copies the case's folder, with the same modes wherever it was checked
// out, and adds what cannot be kept in a repository.
func (c buildCase) context(t *testing.T) string {
	t.Helper()
	from := filepath.Join("testdata", "cases", c.name)
	to := filepath.Join(t.TempDir(), "context")
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, path)
		target := filepath.Join(to, rel)
		info, err := d.Info()
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return mkdir(target)
		case d.Type() == fs.ModeSymlink:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return write(target, content, 0o644|info.Mode()&0o111)
	})
	if prepare := preparations[c.name]; err == nil && prepare != nil {
		err = prepare(to)
	}
	if err != nil {
		t.Fatalf("make the context of %s: %v", c.name, err)
	}
	return to
}

// write and mkdir don't leave the mode to the umask.
func write(path string, content []byte, mode os.FileMode) error {
	if err := os.WriteFile(path, content, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

func mkdir(path string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	return os.Chmod(path, 0o755)
}
