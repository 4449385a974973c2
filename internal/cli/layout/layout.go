// Package layout reads and writes OCI image layouts in directories as the tar
// archives in which images travel to and from the engine.
//
// Blobs are written beside their place and renamed when their digest is right,
// index.json last: a crash leaves a layout that is as valid as before, and at
// most files that begin with ".tmp-".
package layout

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-containers/berth/internal/atomicfile"
)

const (
	version  = `{"imageLayoutVersion":"1.0.0"}`
	maxBytes = 4 << 20 // of an index or a manifest
)

// Pack writes one image of the layout in dir: the one that is called ref there,
// or with "" the only one.
func Pack(dir, ref string, w io.Writer) error {
	index, err := readIndex(dir)
	if err != nil {
		return err
	}
	d, err := pick(index, dir, ref)
	if err != nil {
		return err
	}
	p := packer{dir: dir, w: tar.NewWriter(w), done: map[digest.Digest]bool{}}
	d.Annotations = nil // its name here is none elsewhere
	b, err := json.Marshal(ocispec.Index{Versioned: index.Versioned, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{d}})
	if err != nil {
		return err
	}
	err = errors.Join(p.file(ocispec.ImageLayoutFile, []byte(version)), p.file(ocispec.ImageIndexFile, b))
	if err == nil {
		err = p.tree(d, true)
	}
	if err != nil {
		return fmt.Errorf("read the layout %s: %w", dir, err)
	}
	return p.w.Close()
}

func readIndex(dir string) (ocispec.Index, error) {
	var index ocispec.Index
	b, err := os.ReadFile(filepath.Join(dir, ocispec.ImageIndexFile))
	if err != nil {
		return index, fmt.Errorf("read the layout %s: %w", dir, err)
	}
	if err := json.Unmarshal(b, &index); err != nil {
		return index, fmt.Errorf("read %s of the layout %s: %w", ocispec.ImageIndexFile, dir, err)
	}
	return index, nil
}

func pick(index ocispec.Index, dir, ref string) (ocispec.Descriptor, error) {
	var names []string
	for _, d := range index.Manifests {
		called := d.Annotations[ocispec.AnnotationRefName]
		if ref != "" && (ref == called || ref == d.Digest.String()) {
			return d, nil
		}
		if called == "" {
			called = d.Digest.String()
		}
		names = append(names, called)
	}
	switch {
	case len(names) == 0:
		return ocispec.Descriptor{}, fmt.Errorf("the layout %s has no image", dir)
	case ref != "":
		return ocispec.Descriptor{}, fmt.Errorf("the layout %s has no image %q; it has %s", dir, ref, strings.Join(names, ", "))
	case len(names) > 1:
		return ocispec.Descriptor{}, fmt.Errorf("the layout %s has %d images; name one after a colon: %s", dir, len(names), strings.Join(names, ", "))
	}
	return index.Manifests[0], nil
}

type packer struct {
	dir  string
	w    *tar.Writer
	done map[digest.Digest]bool
}

func (p *packer) file(name string, b []byte) error {
	if err := p.w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(b))}); err != nil {
		return err
	}
	_, err := p.w.Write(b)
	return err
}

// tree writes a blob and what it lists. Manifests of platforms that are not
// here are left out.
func (p *packer) tree(d ocispec.Descriptor, needed bool) error {
	if p.done[d.Digest] {
		return nil
	}
	at, err := blobPath(p.dir, d.Digest)
	if err != nil {
		return err
	}
	f, err := os.Open(at)
	if errors.Is(err, fs.ErrNotExist) && !needed {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	p.done[d.Digest] = true
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := p.w.WriteHeader(&tar.Header{Name: blobName(d.Digest), Mode: 0o644, Size: info.Size()}); err != nil {
		return err
	}
	if _, err := io.Copy(p.w, f); err != nil {
		return err
	}
	return p.children(d, f, info.Size())
}

func (p *packer) children(d ocispec.Descriptor, f *os.File, size int64) error {
	if !strings.Contains(d.MediaType, "manifest") && !strings.Contains(d.MediaType, "index") {
		return nil
	}
	if size > maxBytes {
		return fmt.Errorf("the manifest %s is larger than %d bytes", d.Digest, maxBytes)
	}
	var lists struct {
		Manifests, Layers []ocispec.Descriptor
		Config            *ocispec.Descriptor
	}
	if err := json.NewDecoder(io.NewSectionReader(f, 0, size)).Decode(&lists); err != nil {
		return fmt.Errorf("read the manifest %s: %w", d.Digest, err)
	}
	for _, m := range lists.Manifests {
		if err := p.tree(m, false); err != nil {
			return err
		}
	}
	if lists.Config != nil {
		lists.Layers = append(lists.Layers, *lists.Config)
	}
	for _, l := range lists.Layers {
		if err := p.tree(l, true); err != nil {
			return err
		}
	}
	return nil
}

func blobName(d digest.Digest) string { return path.Join("blobs", d.Algorithm().String(), d.Encoded()) }

func blobPath(dir string, d digest.Digest) (string, error) {
	if err := d.Validate(); err != nil {
		return "", fmt.Errorf("digest %q: %w", d, err)
	}
	return filepath.Join(dir, filepath.FromSlash(blobName(d))), nil
}

// Unpack adds the one image of an archive to the layout in dir, which is made if
// there is none, under the name ref or without one. It returns the digest.
func Unpack(dir, ref string, r io.Reader) (digest.Digest, error) {
	var index *ocispec.Index
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = entry(dir, h, in, &index)
		}
		if err != nil {
			return "", fmt.Errorf("write the layout %s: %w", dir, err)
		}
	}
	if index == nil || len(index.Manifests) == 0 {
		return "", errors.New("the engine sent no image")
	}
	d := index.Manifests[0]
	d.Annotations = nil
	if ref != "" {
		d.Annotations = map[string]string{ocispec.AnnotationRefName: ref}
	}
	return d.Digest, add(dir, ref, d)
}

func entry(dir string, h *tar.Header, r io.Reader, index **ocispec.Index) error {
	switch name := path.Clean(h.Name); {
	case name == ocispec.ImageIndexFile:
		return json.NewDecoder(io.LimitReader(r, maxBytes)).Decode(index)
	case h.Typeflag == tar.TypeReg && strings.HasPrefix(name, "blobs/"):
		parts := strings.Split(name, "/")
		if len(parts) != 3 {
			return fmt.Errorf("the archive has a file %q, which is no blob", h.Name)
		}
		return writeBlob(dir, digest.NewDigestFromEncoded(digest.Algorithm(parts[1]), parts[2]), r)
	}
	return nil
}

func writeBlob(dir string, d digest.Digest, r io.Reader) (err error) {
	at, err := blobPath(dir, d)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(at); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(at), ".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	hash := d.Verifier()
	_, err = io.Copy(io.MultiWriter(f, hash), r)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	if !hash.Verified() {
		return fmt.Errorf("the bytes of %s have another digest", d)
	}
	return os.Rename(f.Name(), at)
}

// add names a manifest in the index; another one of that name loses it.
func add(dir, ref string, d ocispec.Descriptor) error {
	index, err := readIndex(dir)
	if errors.Is(err, fs.ErrNotExist) {
		index.SchemaVersion, index.MediaType, err = 2, ocispec.MediaTypeImageIndex, nil
	}
	if err != nil {
		return err
	}
	var kept []ocispec.Descriptor
	for _, m := range index.Manifests {
		called := m.Annotations[ocispec.AnnotationRefName]
		if ref != "" && called == ref || called == "" && m.Digest == d.Digest {
			continue
		}
		kept = append(kept, m)
	}
	index.Manifests = append(kept, d)
	b, err := json.Marshal(index)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(dir, ocispec.ImageLayoutFile), []byte(version), 0o644); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, ocispec.ImageIndexFile), b, 0o644)
}
