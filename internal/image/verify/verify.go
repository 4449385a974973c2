// Package verify reads images again, byte for byte, and compares them with their
// digests: indexes, manifests, configurations, packed layers, what these unpack
// to, and the unpacked layers, file by file, with what they were unpacked from.
// It changes nothing, so a crash leaves nothing.
package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/berth-containers/berth/internal/image/depot"
	"github.com/berth-containers/berth/internal/image/manifest"
	"github.com/berth-containers/berth/internal/image/report"
	"github.com/berth-containers/berth/internal/snapshot/layer"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	fetchAgain  = "remove each image that names it here (berth rmi) and pull or load it again"
	unpackAgain = "remove the containers of the image and the image (berth rm, berth rmi) and pull or load it again; while one of them stays, so do these files"
	wrongImage  = "whoever made the image must make it again"
)

// Checker verifies images. What several of them share is read once.
type Checker struct {
	Depot *depot.Depot
	done  map[string][]report.Problem // by what was looked at
}

// Image verifies what a name points to. The caller's lease keeps it.
func (c *Checker) Image(ctx context.Context, name string, r manifest.Reading) (report.Verified, error) {
	if c.done == nil {
		c.done = map[string][]report.Problem{}
	}
	one := look{Checker: c, out: report.Verified{Image: name, Problems: []report.Problem{}}}
	err := one.descend(ctx, "image", r.Target, 0)
	return one.out, err
}

// look is the verification of one name.
type look struct {
	*Checker
	out report.Verified
}

func (l *look) add(problems ...report.Problem) { l.out.Problems = append(l.out.Problems, problems...) }

// descend verifies an index or a manifest and what it lists.
func (l *look) descend(ctx context.Context, what string, desc ocispec.Descriptor, depth int) error {
	b, ok, err := l.small(what, desc, manifest.MaxBytes)
	if !ok || err != nil {
		return err
	}
	if !images.IsIndexType(desc.MediaType) {
		return l.manifest(ctx, desc, b)
	}
	var index ocispec.Index
	if err := json.Unmarshal(b, &index); err != nil || depth > manifest.MaxDepth {
		l.add(report.Problem{What: what, ID: desc.Digest.String(), Text: "it cannot be read as an index", Step: wrongImage})
		return nil
	}
	for _, m := range index.Manifests {
		if _, err := l.Depot.Blobs.Info(ctx, m.Digest); errdefs.IsNotFound(err) {
			continue // of a platform that was not pulled
		}
		if err := l.descend(ctx, "manifest", m, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (l *look) manifest(ctx context.Context, desc ocispec.Descriptor, b []byte) error {
	p := manifest.Image{Desc: desc}
	if err := json.Unmarshal(b, &p.Manifest); err != nil {
		l.add(report.Problem{What: "manifest", ID: desc.Digest.String(), Text: fmt.Sprintf("it cannot be read: %v", err), Step: wrongImage})
		return nil
	}
	b, ok, err := l.small("configuration", p.Manifest.Config, manifest.MaxConfigBytes)
	if err != nil {
		return err
	}
	if !images.IsConfigType(p.Manifest.Config.MediaType) {
		return l.others(ctx, p.Manifest.Layers)
	}
	if ok {
		if err = json.Unmarshal(b, &p.Config); err == nil {
			err = p.Check()
		}
		if err != nil {
			l.add(report.Problem{What: "configuration", ID: p.Manifest.Config.Digest.String(), Text: err.Error(), Step: wrongImage})
			ok = false
		}
	}
	if !ok {
		return l.others(ctx, p.Manifest.Layers)
	}
	for i, packed := range p.Manifest.Layers {
		if err := l.layer(ctx, packed, p.Config.RootFS.DiffIDs[i], p.Chain(i+1)); err != nil {
			return err
		}
	}
	return nil
}

// others verifies blobs of which nothing more is known.
func (l *look) others(ctx context.Context, blobs []ocispec.Descriptor) error {
	for _, b := range blobs {
		if err := l.layer(ctx, b, "", ""); err != nil {
			return err
		}
	}
	return nil
}

// small verifies and reads a blob that fits in memory.
func (l *look) small(what string, desc ocispec.Descriptor, limit int64) ([]byte, bool, error) {
	f, ok, err := l.file(what, desc)
	if !ok || err != nil {
		return nil, false, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, false, fmt.Errorf("read %s %s: %w", what, desc.Digest, err)
	}
	l.out.Blobs++
	l.out.Bytes += int64(len(b))
	if got := desc.Digest.Algorithm().FromBytes(b); got != desc.Digest {
		l.add(wrongBytes(what, desc, got, int64(len(b))))
		return nil, false, nil
	}
	return b, true, nil
}

// file opens a blob; a missing one is a problem.
func (l *look) file(what string, desc ocispec.Descriptor) (*os.File, bool, error) {
	if err := desc.Digest.Validate(); err != nil {
		l.add(report.Problem{What: what, ID: desc.Digest.String(), Text: err.Error(), Step: wrongImage})
		return nil, false, nil
	}
	f, err := os.Open(l.Depot.BlobPath(desc.Digest))
	if errors.Is(err, os.ErrNotExist) {
		l.add(report.Problem{What: what, ID: desc.Digest.String(), Text: "the blob is missing", Step: fetchAgain})
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("open %s %s: %w", what, desc.Digest, err)
	}
	return f, true, nil
}

func wrongBytes(what string, desc ocispec.Descriptor, got digest.Digest, n int64) report.Problem {
	return report.Problem{What: what, ID: desc.Digest.String(), Step: fetchAgain,
		Text: fmt.Sprintf("its %d bytes (of %d) have the digest %s", n, desc.Size, got)}
}

// layer verifies a packed layer, what it unpacks to, and the unpacked one, if
// there is one.
func (l *look) layer(ctx context.Context, desc ocispec.Descriptor, diffID digest.Digest, chain string) error {
	key := desc.Digest.String() + " " + chain
	if known, again := l.done[key]; again {
		l.add(known...)
		return nil
	}
	before := len(l.out.Problems)
	err := l.readLayer(ctx, desc, diffID, chain)
	l.done[key] = append([]report.Problem{}, l.out.Problems[before:]...)
	return err
}

func (l *look) readLayer(ctx context.Context, desc ocispec.Descriptor, diffID digest.Digest, chain string) error {
	f, ok, err := l.file("layer", desc)
	if !ok || err != nil {
		return err
	}
	defer f.Close()
	hash := desc.Digest.Algorithm().Digester()
	counted := &counter{ended: ctx.Err, r: io.TeeReader(f, hash.Hash())}
	var plain unpacked
	if diffID != "" {
		if plain, err = l.unpack(ctx, counted, chain); err != nil {
			return err
		}
	}
	if _, err := io.Copy(io.Discard, counted); err != nil { // what is left if it cannot be unpacked
		return fmt.Errorf("read layer %s: %w", desc.Digest, err)
	}
	l.out.Blobs++
	l.out.Bytes += counted.n
	switch {
	case hash.Digest() != desc.Digest:
		l.add(wrongBytes("layer", desc, hash.Digest(), counted.n))
		return nil // whatever else is wrong follows from it
	case plain.err != nil:
		l.add(report.Problem{What: "layer", ID: desc.Digest.String(), Text: fmt.Sprintf("it cannot be unpacked: %v", plain.err), Step: wrongImage})
		return nil
	case diffID != "" && plain.diffID != diffID:
		l.add(report.Problem{What: "layer", ID: desc.Digest.String(), Step: wrongImage,
			Text: fmt.Sprintf("it unpacks to %s, but the image's configuration says %s", plain.diffID, diffID)})
		return nil
	}
	for _, text := range plain.differences {
		l.add(report.Problem{What: "unpacked layer", ID: diffID.String(), Text: text, Step: unpackAgain})
	}
	return nil
}

// unpacked is what was found about a layer's content.
type unpacked struct {
	diffID      digest.Digest
	err         error // of the content
	differences []string
}

// unpack reads a packed layer and compares it with the directory of its chain,
// if there is one.
func (l *look) unpack(ctx context.Context, r *counter, chain string) (unpacked, error) {
	var u unpacked
	plain, err := layer.Decompress(r)
	if err != nil {
		return unpacked{err: err}, ctx.Err()
	}
	defer plain.Close()
	hash := digest.Canonical.Digester()
	tee := io.TeeReader(plain, hash.Hash())
	dir, err := l.dir(ctx, chain)
	if err != nil {
		return u, err
	}
	if dir != "" {
		l.out.Layers++
		if u.differences, u.err = compare(dir, tee); u.err != nil {
			return u, ctx.Err()
		}
	}
	_, u.err = io.Copy(io.Discard, tee)
	u.diffID = hash.Digest()
	return u, ctx.Err()
}

// dir is the directory of the topmost layer of a chain, or "".
func (l *look) dir(ctx context.Context, chain string) (string, error) {
	dirs, err := l.Depot.ChainDirs(ctx, chain)
	if errdefs.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return dirs[0], nil
}

// counter counts what was read, until its context ends.
type counter struct {
	ended func() error
	r     io.Reader
	n     int64
}

func (c *counter) Read(b []byte) (int, error) {
	if err := c.ended(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}
