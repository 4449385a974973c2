package image

import (
	"context"
	"fmt"

	"github.com/berth-containers/berth/internal/image/manifest"
	"github.com/berth-containers/berth/internal/image/report"
	"github.com/berth-containers/berth/internal/image/verify"
	"github.com/containerd/containerd/v2/core/images"
)

// Verify reads images again and compares them with their digests: those of
// refs, or all. What is found of each goes to tell as soon as it is known.
func (s examiner) Verify(ctx context.Context, refs []string, tell func(report.Verified) error) error {
	ctx, done, err := s.depot.Lease(s.depot.Scope(ctx))
	if err != nil {
		return err
	}
	defer done(nil)
	records, err := s.toVerify(refs)
	if err != nil {
		return err
	}
	c := verify.Checker{Depot: s.depot}
	told := map[string]bool{}
	for _, r := range records {
		reading := readingOf(r)
		shown := familiar(r.Name)
		if shown == "" {
			shown = r.Target.Digest.String()
		}
		if told[shown] {
			continue
		}
		told[shown] = true
		v, err := s.verify(ctx, &c, shown, reading)
		if err != nil {
			return fmt.Errorf("verify %s: %w", shown, err)
		}
		if err := tell(v); err != nil {
			return err
		}
	}
	return nil
}

func (s examiner) verify(ctx context.Context, c *verify.Checker, shown string, r manifest.Reading) (report.Verified, error) {
	// What is in the way of holding it is what the verification finds.
	_, _ = s.depot.HoldBlob(ctx, r.Target.Digest)
	if p, err := manifest.Read(ctx, s.depot, r); err == nil {
		if n := len(p.Config.RootFS.DiffIDs); n > 0 {
			_, _ = s.depot.HoldChain(ctx, p.Chain(n))
		}
	}
	return c.Image(ctx, shown, r)
}

// toVerify are the records that refs name, also those that cannot be read.
func (s examiner) toVerify(refs []string) ([]images.Image, error) {
	v := s.view.Load()
	if len(refs) == 0 {
		return v.records, nil
	}
	var records []images.Image
	for _, ref := range refs {
		if v.isHost(ref) {
			return nil, invalid("the image %q is the running system: it has no digests", HostName)
		}
		img, record, err := v.find(ref)
		if err != nil && record == "" {
			return nil, err
		}
		before := len(records)
		for _, r := range v.records {
			named := record == r.Name
			if record == "" {
				named = v.byName[r.Name] == img
			}
			if named {
				records = append(records, r)
			}
		}
		if record == "" && len(records) > before {
			records = records[:before+1] // one name of it is enough
		}
	}
	return records, nil
}
