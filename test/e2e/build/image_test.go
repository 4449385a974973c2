package build

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// A picture is an image as text: one line a setting, one line a file.
type picture struct {
	config []string
	files  map[string]string // path → kind, mode, owner, content
}

// config are the settings that a Dockerfile makes.
type config struct {
	User         string
	ExposedPorts map[string]struct{}
	Env          []string
	Entrypoint   []string
	Cmd          []string
	Volumes      map[string]struct{}
	WorkingDir   string
	Labels       map[string]string
	StopSignal   string
	OnBuild      []string
	Shell        []string
	Healthcheck  *struct {
		Test                                          []string
		Interval, Timeout, StartPeriod, StartInterval int64
		Retries                                       int
	}
}

type descriptor struct {
	Digest string `json:"digest"`
}

// readPicture reads the one image of an archive as `save` and the exporters
// "docker" and "oci" write it.
func readPicture(file string) (*picture, error) {
	archive, err := entries(file)
	if err != nil {
		return nil, err
	}
	configName, layers, err := contents(archive)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var image struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
		Author       string `json:"author"`
		Config       config `json:"config"`
	}
	if err := json.Unmarshal(archive[configName], &image); err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	p := &picture{files: map[string]string{}}
	p.setting("Platform", image.OS+"/"+image.Architecture)
	p.settings(image.Config)
	p.setting("Author", image.Author)
	for _, name := range layers {
		if err := p.apply(archive[name]); err != nil {
			return nil, fmt.Errorf("layer %s: %w", name, err)
		}
	}
	return p, nil
}

func entries(file string) (map[string][]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all := map[string][]byte{}
	links := map[string]string{}
	r := tar.NewReader(f)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		name := path.Clean(h.Name)
		if h.Typeflag == tar.TypeSymlink {
			links[name] = path.Join(path.Dir(name), h.Linkname)
			continue
		}
		if all[name], err = io.ReadAll(r); err != nil {
			return nil, err
		}
	}
	for name, target := range links { // one layer twice in an archive
		all[name] = all[target]
	}
	return all, nil
}

// contents finds the names of configuration and layers, in either format.
func contents(archive map[string][]byte) (configName string, layers []string, err error) {
	var docker []struct {
		Config string
		Layers []string
	}
	if b := archive["manifest.json"]; b != nil {
		if err := json.Unmarshal(b, &docker); err != nil || len(docker) != 1 {
			return "", nil, fmt.Errorf("manifest.json has %d images: %w", len(docker), err)
		}
		return docker[0].Config, docker[0].Layers, nil
	}
	blob := func(digest string) string { return "blobs/sha256/" + strings.TrimPrefix(digest, "sha256:") }
	next := archive["index.json"]
	for {
		var m struct {
			Manifests []struct {
				descriptor
				Platform struct {
					Architecture string `json:"architecture"`
				} `json:"platform"`
			} `json:"manifests"`
			Config descriptor   `json:"config"`
			Layers []descriptor `json:"layers"`
		}
		if err := json.Unmarshal(next, &m); err != nil {
			return "", nil, fmt.Errorf("read an index or a manifest: %w", err)
		}
		if m.Config.Digest != "" {
			for _, l := range m.Layers {
				layers = append(layers, blob(l.Digest))
			}
			return blob(m.Config.Digest), layers, nil
		}
		if len(m.Manifests) == 0 {
			return "", nil, errors.New("an index without an image")
		}
		next = archive[blob(m.Manifests[0].Digest)]
	}
}

func (p *picture) setting(name string, value any) {
	b, err := json.Marshal(value)
	if err != nil {
		panic(err) // no such type is among the settings
	}
	switch text := string(b); text {
	case `""`, "null", "[]", "{}":
	default:
		p.config = append(p.config, name+" "+text)
	}
}

func (p *picture) settings(c config) {
	delete(c.Labels, "io.buildah.version")
	p.setting("User", c.User)
	p.setting("WorkingDir", strings.TrimPrefix(c.WorkingDir, "/")) // "" and "/" are one
	p.setting("Env", c.Env)
	p.setting("Entrypoint", c.Entrypoint)
	p.setting("Cmd", c.Cmd)
	p.setting("ExposedPorts", slices.Sorted(maps.Keys(c.ExposedPorts)))
	p.setting("Volumes", slices.Sorted(maps.Keys(c.Volumes)))
	p.setting("Labels", c.Labels)
	p.setting("StopSignal", c.StopSignal)
	p.setting("OnBuild", c.OnBuild)
	p.setting("Shell", c.Shell)
	p.setting("Healthcheck", c.Healthcheck)
}

// apply lays one layer over what is there.
func (p *picture) apply(layer []byte) error {
	var in io.Reader = bytes.NewReader(layer)
	if bytes.HasPrefix(layer, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return err
		}
		in = z
	}
	r := tar.NewReader(in)
	before := slices.Collect(maps.Keys(p.files))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Clean("/" + h.Name)
		dir, base := path.Split(name)
		if base == ".wh..wh..opq" {
			for _, f := range before {
				if strings.HasPrefix(f, dir) {
					delete(p.files, f)
				}
			}
			continue
		}
		if hidden, ok := strings.CutPrefix(base, ".wh."); ok {
			p.remove(dir + hidden)
			continue
		}
		line, err := p.line(h, r)
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeDir {
			p.remove(name)
		}
		p.files[name] = line
	}
}

func (p *picture) remove(name string) {
	for f := range p.files {
		if f == name || strings.HasPrefix(f, name+"/") {
			delete(p.files, f)
		}
	}
}

// line tells of everything of a file but its times. A hard link is told as the
// file it names, which layers that were split differently have alike.
func (p *picture) line(h *tar.Header, content io.Reader) (string, error) {
	if h.Typeflag == tar.TypeLink {
		return p.files[path.Clean("/"+h.Linkname)], nil
	}
	kind := map[byte]string{tar.TypeReg: "file", tar.TypeDir: "dir", tar.TypeSymlink: "link", tar.TypeFifo: "fifo", tar.TypeChar: "char", tar.TypeBlock: "block"}[h.Typeflag]
	line := fmt.Sprintf("%s %04o %d:%d", kind, h.Mode&0o7777, h.Uid, h.Gid)
	switch h.Typeflag {
	case tar.TypeReg:
		b, err := io.ReadAll(content)
		if err != nil {
			return "", err
		}
		line += " " + short(b)
	case tar.TypeSymlink:
		line = fmt.Sprintf("link %d:%d -> %s", h.Uid, h.Gid, h.Linkname)
	case tar.TypeChar, tar.TypeBlock:
		line += fmt.Sprintf(" %d,%d", h.Devmajor, h.Devminor)
	}
	for _, key := range slices.Sorted(maps.Keys(h.PAXRecords)) {
		if name, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok {
			line += fmt.Sprintf(" %s=%q", name, h.PAXRecords[key])
		}
	}
	return line, nil
}

// short is a file's text where one can read it, else its size and its sum.
func short(b []byte) string {
	if len(b) <= 100 && utf8.Valid(b) && !bytes.ContainsRune(b, 0) {
		return fmt.Sprintf("%q", b)
	}
	return fmt.Sprintf("%d bytes %x", len(b), sha256.Sum256(b))
}

// text is the picture, less what the base has.
func (p *picture) text(base *picture) string {
	var b strings.Builder
	for _, line := range p.config {
		fmt.Fprintln(&b, line)
	}
	names := map[string]bool{}
	for name, line := range p.files {
		if base.files[name] != line {
			names[name] = true
		}
	}
	scratch := true
	for name := range base.files {
		if _, there := p.files[name]; there && name != "/" {
			scratch = false
		}
	}
	for name := range base.files {
		if _, there := p.files[name]; !there && !scratch {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		line, there := p.files[name]
		if !there {
			line = "gone"
		}
		fmt.Fprintf(&b, "%+q %s\n", name, line)
	}
	return b.String()
}
