package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

const probe = "/berth-registry-probe"

// Probe writes, reads and removes something, as a push would.
func (s *Store) Probe(ctx context.Context) (err error) {
	content := make([]byte, 1<<16)
	_, _ = rand.Read(content)
	if err := s.driver.PutContent(ctx, probe, content); err != nil {
		return fmt.Errorf("write to the storage: %w", err)
	}
	defer func() { err = errors.Join(err, s.remove(context.WithoutCancel(ctx), probe)) }()
	got, err := s.driver.GetContent(ctx, probe)
	if err != nil {
		return fmt.Errorf("read from the storage: %w", err)
	}
	if !bytes.Equal(got, content) {
		return errdefs.ErrDataLoss.WithMessage("the storage gave back something else than was written")
	}
	return nil
}

// VerifyReport is what Verify found.
type VerifyReport struct {
	Repositories, Manifests, Blobs int
	Bytes                          int64
}

// Verify looks for all that the repositories need and, if deep, reads every
// byte and computes its digest. problem is called for each thing that is wrong.
func (s *Store) Verify(ctx context.Context, deep bool, problem func(string)) (VerifyReport, error) {
	var report VerifyReport
	seen := map[digest.Digest]error{}
	look := func(place string, canonical digest.Digest) error {
		err, done := seen[canonical]
		if !done {
			var size int64
			size, err = verifyBlob(ctx, s, canonical, deep)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			seen[canonical] = err
			report.Blobs++
			report.Bytes += size
		}
		if err != nil {
			problem(fmt.Sprintf("%s: %v", place, err))
		}
		return nil
	}
	err := s.Repositories(ctx, func(name string) error {
		report.Repositories++
		n, err := verifyRepository(ctx, s, name, look, problem)
		report.Manifests += n
		return err
	})
	return report, err
}

func verifyRepository(ctx context.Context, s *Store, name string, look func(string, digest.Digest) error, problem func(string)) (int, error) {
	links, err := s.Manifests(ctx, name)
	if err != nil {
		return 0, err
	}
	for _, l := range links {
		place := name + "@" + l.Name.String()
		if err := look(place, l.Canonical); err != nil {
			return 0, err
		}
		content, err := s.Manifest(ctx, l.Canonical)
		if err != nil {
			continue // told by look
		}
		m, err := ParseManifest(content)
		if err != nil {
			problem(place + ": " + err.Error())
			continue
		}
		layers, _ := m.Content()
		for _, d := range layers {
			canonical, err := s.Layer(ctx, name, d)
			switch {
			case errdefs.IsNotFound(err) && foreign(m, d):
			case err != nil:
				problem(fmt.Sprintf("%s: blob %s: %v", place, d, err))
			default:
				if err := look(place, canonical); err != nil {
					return 0, err
				}
			}
		}
	}
	return len(links), nil
}

// foreign says whether a layer is only named, with a URL to get it from.
func foreign(m Manifest, d digest.Digest) bool {
	for _, l := range m.Layers {
		if l.Digest == d && len(l.URLs) > 0 {
			return true
		}
	}
	return false
}

func verifyBlob(ctx context.Context, s *Store, d digest.Digest, deep bool) (int64, error) {
	size, err := s.Size(ctx, d)
	if err != nil || !deep {
		return size, err
	}
	r, err := s.driver.Reader(ctx, blobDir(d)+"/data", 0)
	if err != nil {
		return size, err
	}
	defer r.Close()
	v := d.Verifier()
	if _, err := io.Copy(v, r); err != nil {
		return size, fmt.Errorf("read blob: %w", err)
	}
	if !v.Verified() {
		return size, errdefs.ErrDataLoss.WithMessage(fmt.Sprintf("the blob %s has other bytes than its digest says", d))
	}
	return size, nil
}
