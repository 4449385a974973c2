package image

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/image"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-containers/berth/internal/image/manifest"
)

// maxStatementBytes is the size of the largest statement that is read: the list of
// what is in a big image.
const maxStatementBytes = 64 << 20

// Attestations lists the in-toto statements about an image that are here: those
// of its index, of the given types or of all. They are read if asked for.
func (s examiner) Attestations(ctx context.Context, ref string, types []string, read bool) ([]api.AttestationStatement, error) {
	ctx = s.depot.Scope(ctx)
	v := s.view.Load()
	if v.isHost(ref) {
		return nil, nil
	}
	img, record, err := v.find(ref)
	if err != nil {
		return nil, err
	}
	r := v.reading(img, record)
	if !images.IsIndexType(r.Target.MediaType) {
		return nil, nil
	}
	p, err := manifest.Read(ctx, s.depot, r)
	if err != nil {
		return nil, err
	}
	var index ocispec.Index
	if err := s.depot.ReadJSON(ctx, r.Target, manifest.MaxBytes, &index); err != nil {
		return nil, err
	}
	var found []api.AttestationStatement
	for _, d := range index.Manifests {
		if !manifest.IsAttestation(&d) || d.Annotations["vnd.docker.reference.digest"] != p.Desc.Digest.String() {
			continue
		}
		some, err := s.statements(ctx, d, types, read)
		if err != nil {
			return nil, err
		}
		found = append(found, some...)
	}
	return found, nil
}

// statements are those of one manifest; none if it was not pulled.
func (s examiner) statements(ctx context.Context, d ocispec.Descriptor, types []string, read bool) ([]api.AttestationStatement, error) {
	var m ocispec.Manifest
	if err := s.depot.ReadJSON(ctx, d, manifest.MaxBytes, &m); err != nil {
		if errdefs.IsNotFound(err) {
			return nil, nil
		}
		return nil, err
	}
	var found []api.AttestationStatement
	for _, l := range m.Layers {
		kind := l.Annotations["in-toto.io/predicate-type"]
		if kind == "" || len(types) > 0 && !slices.Contains(types, kind) {
			continue
		}
		one := api.AttestationStatement{Descriptor: l, PredicateType: kind}
		if read {
			b, err := s.depot.ReadBlob(ctx, l, maxStatementBytes)
			if err != nil {
				return nil, fmt.Errorf("read the statement %s: %w", l.Digest, err)
			}
			one.Statement = (*json.RawMessage)(&b)
		}
		found = append(found, one)
	}
	return found, nil
}
