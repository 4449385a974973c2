// Package layer unpacks one image layer, a tar stream that may be compressed,
// into a directory that overlayfs can use as a lower layer.
//
// A layer is unpacked on its own, without the layers below it: whiteouts become
// overlayfs whiteouts, opaque markers become overlayfs xattrs. Directories that
// the layer mentions only as somebody's parent have no attributes of their own,
// and a hard link may point to a file of a layer below: Settle gives them what
// they lack when those layers are known. No path of the archive leads out of the
// directory. A crash leaves a directory that nobody has committed; the owner of
// the directory removes it.
package layer

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/continuity/sysx"
	"github.com/opencontainers/go-digest"
)

// Result is what was learned from an unpacked layer.
type Result struct {
	DiffID digest.Digest // of the uncompressed stream
	// Implied are the directories that have no entry of their own in the
	// layer, parents first, relative to the root.
	Implied []string

	links []link
}

// Apply unpacks the stream r into dir, which must exist, and reads r to its end.
// It is a TooLarge error if that is more than limit bytes, 0 for none.
func Apply(ctx context.Context, dir string, r io.Reader, limit int64) (Result, error) {
	plain, err := Decompress(r)
	if err != nil {
		return Result{}, err
	}
	defer plain.Close()
	stream := readAhead(bounded(plain, limit))
	defer stream.close() // before plain
	hash := digest.Canonical.Digester()
	tee := io.TeeReader(stream, hash.Hash())
	var total int64 // also of holes, which are not in the stream
	seen := tree{own: map[string]bool{}, parents: map[string]bool{}}
	_, err = archive.Apply(ctx, dir, tee,
		archive.WithConvertWhiteout(convert), archive.WithFilter(func(hdr *tar.Header) (bool, error) {
			if hdr.Typeflag == tar.TypeGNUSparse { // the reader fills the holes
				hdr.Typeflag = tar.TypeReg
			}
			if total += max(hdr.Size, 0); limit > 0 && total > limit {
				return false, TooLarge{limit}
			}
			seen.note(hdr)
			return !seen.postpone(dir, hdr), nil
		}))
	if err != nil {
		return Result{}, fmt.Errorf("unpack layer: %w", err)
	}
	// What follows the end marker still belongs to the digest.
	if _, err := io.Copy(io.Discard, tee); err != nil {
		return Result{}, fmt.Errorf("read layer: %w", err)
	}
	return Result{DiffID: hash.Digest(), Implied: seen.implied(), links: seen.links}, nil
}

// convert makes overlayfs whiteouts. A whiteout in the same layer as the file
// it names hides the layers below and leaves the file as it is.
func convert(hdr *tar.Header, name string) (bool, error) {
	base := filepath.Base(name)
	if !strings.HasPrefix(base, ".wh.") || base == ".wh..wh..opq" {
		return archive.OverlayConvertWhiteout(hdr, name)
	}
	if strings.HasPrefix(base, ".wh..wh.") { // aufs's own bookkeeping
		return false, nil
	}
	hidden := filepath.Join(filepath.Dir(name), strings.TrimPrefix(base, ".wh."))
	info, err := os.Lstat(hidden)
	if err == nil {
		if info.IsDir() {
			return false, sysx.LSetxattr(hidden, "trusted.overlay.opaque", []byte{'y'}, 0)
		}
		return false, nil
	}
	return archive.OverlayConvertWhiteout(hdr, name)
}

// tree notes which directories an archive has and which it only passes through.
type tree struct {
	own, parents map[string]bool
	links        []link
}

func (t *tree) note(hdr *tar.Header) {
	name := path.Clean("/" + hdr.Name)
	if hdr.Typeflag == tar.TypeDir {
		t.own[name] = true
	}
	t.pass(name)
}

// pass notes the directories above a name.
func (t *tree) pass(name string) {
	for p := path.Dir(name); p != "/" && !t.parents[p]; p = path.Dir(p) {
		t.parents[p] = true
	}
}

func (t *tree) implied() []string {
	var names []string
	for p := range t.parents {
		if !t.own[p] {
			names = append(names, p)
		}
	}
	slices.Sort(names)
	return names
}

// Settle makes the hard links of the layer in dir to files of the layers below,
// and gives its implied directories the attributes of the same directory in
// the nearest of lowers, the topmost first.
func Settle(dir string, r Result, lowers []string) error {
	if len(r.links) == 0 && (len(r.Implied) == 0 || len(lowers) == 0) {
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open layer: %w", err)
	}
	defer root.Close()
	if err := makeLinks(root, r.links, lowers); err != nil {
		return fmt.Errorf("unpack layer: %w", err)
	}
	for _, name := range r.Implied {
		rel := strings.TrimPrefix(name, "/")
		if info, err := root.Lstat(rel); err != nil || !info.IsDir() {
			continue
		}
		if err := inherit(root, rel, lowers); err != nil {
			return fmt.Errorf("inherit attributes of %s: %w", name, err)
		}
	}
	return nil
}

func inherit(root *os.Root, rel string, lowers []string) error {
	for _, lower := range lowers {
		from, err := os.OpenRoot(lower)
		if err != nil {
			return err
		}
		info, err := from.Lstat(rel)
		if err != nil {
			from.Close()
			continue // not in this layer
		}
		if info.IsDir() {
			err = copyAttributes(root, from, rel, info)
		}
		from.Close()
		return err // anything else than a directory hides what is below
	}
	return nil
}
