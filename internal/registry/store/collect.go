package store

import (
	"context"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// CollectOptions says what may go.
type CollectOptions struct {
	DryRun    bool          // only tell
	Untagged  bool          // also manifests without a tag that no tagged index holds and no kept manifest is the subject of
	Grace     time.Duration // what was pushed, mounted or asked for since then stays
	UploadAge time.Duration // uploads that nothing was added to for this long go
}

// CollectReport tells what went, or would go.
type CollectReport struct {
	Repositories int      `json:"repositories"`
	Kept         int      `json:"kept"` // blobs
	Manifests    int      `json:"manifests_removed"`
	Links        int      `json:"links_removed"`
	Blobs        int      `json:"blobs_removed"`
	Bytes        int64    `json:"bytes_removed"`
	Uploads      int      `json:"uploads_removed"`
	InUse        int      `json:"in_use"`            // could go, but a push needs them
	Missing      []string `json:"missing,omitempty"` // what is linked but not there
}

// collection is the state of one run.
type collection struct {
	s       *Store
	opt     CollectOptions
	started time.Time
	since   time.Time // what was touched after this stays
	report  CollectReport
	live    map[digest.Digest]bool
	dead    map[digest.Digest][]string // folders of layers' links to remove, by canonical digest
	lost    []lost
}

// lost is a manifest to remove.
type lost struct {
	revision
	repository string
	name       digest.Digest
	depth      int // of the tree below it: what holds others goes before them
}

// Collect removes what nothing refers to. Pushes may run at the same time in
// the process that has the leases. An error while it looks around removes
// nothing.
func (s *Store) Collect(ctx context.Context, opt CollectOptions) (CollectReport, error) {
	now := time.Now()
	c := &collection{
		s: s, opt: opt, started: now, since: s.Leases.since(now.Add(-opt.Grace)),
		live: map[digest.Digest]bool{}, dead: map[digest.Digest][]string{},
	}
	s.Leases.forget(c.since)
	err := s.Repositories(ctx, func(name string) error {
		c.report.Repositories++
		if err := c.mark(ctx, name); err != nil {
			return fmt.Errorf("look at repository %s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return c.report, err
	}
	return c.report, c.sweep(ctx)
}

// mark finds what one repository needs and what could go from it.
func (c *collection) mark(ctx context.Context, repository string) error {
	manifests, err := c.manifests(ctx, repository)
	if err != nil {
		return err
	}
	kept := manifests
	if c.opt.Untagged {
		if kept, err = c.keep(ctx, repository, manifests); err != nil {
			return err
		}
	}
	needed := map[digest.Digest]bool{} // layers, by the names that manifests use
	for name, m := range manifests {
		if _, ok := kept[name]; !ok {
			c.lost = append(c.lost, lost{m, repository, name, depth(manifests, name, 0)})
			continue
		}
		c.live[m.canonical] = true
		layers, _ := m.Content()
		for _, d := range layers {
			needed[d] = true
		}
	}
	if err := c.markLayers(ctx, repository, needed); err != nil {
		return err
	}
	if err := c.uploads(ctx, repository); err != nil {
		return err
	}
	return c.referrers(ctx, repository)
}

// depth of what a manifest holds; bounded, since a tree that lies about its
// digests can't be stored, but one may be very deep.
func depth(all map[digest.Digest]revision, name digest.Digest, above int) int {
	deepest := 0
	_, parts := all[name].Content()
	for _, d := range parts {
		if _, ok := all[d]; ok && above < 100 {
			deepest = max(deepest, 1+depth(all, d, above+1))
		}
	}
	return deepest
}

type revision struct {
	Manifest
	canonical digest.Digest
}

// manifests reads all manifests of a repository. Those whose content is not
// there are told of and left alone.
func (c *collection) manifests(ctx context.Context, repository string) (map[digest.Digest]revision, error) {
	links, err := c.s.Manifests(ctx, repository)
	if err != nil {
		return nil, err
	}
	all := make(map[digest.Digest]revision, len(links))
	for _, l := range links {
		content, err := c.s.Manifest(ctx, l.Canonical)
		if errdefs.IsNotFound(err) {
			c.report.Missing = append(c.report.Missing, repository+"@"+l.Name.String())
			continue
		}
		if err != nil {
			return nil, err
		}
		m, err := ParseManifest(content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.Name, err)
		}
		all[l.Name] = revision{m, l.Canonical}
	}
	return all, nil
}

// keep finds the manifests that a tag leads to, those that are young, and what
// follows from them: an index's parts, a subject's referrers.
func (c *collection) keep(ctx context.Context, repository string, all map[digest.Digest]revision) (map[digest.Digest]revision, error) {
	kept := map[digest.Digest]revision{}
	wanted := map[digest.Digest]bool{}
	tags, err := c.s.Tags(ctx, repository)
	if err != nil {
		return nil, err
	}
	for _, tag := range tags {
		d, err := c.s.Resolve(ctx, repository, tag)
		if err != nil && !errdefs.IsNotFound(err) {
			return nil, err
		}
		wanted[d] = true
	}
	for name, m := range all {
		young, err := c.young(ctx, under(revisionsDir(repository), name)+"/link")
		if err != nil {
			return nil, err
		}
		if young || c.s.Leases.held(m.canonical, c.since) || c.s.Leases.held(name, c.since) {
			wanted[m.canonical] = true
		}
	}
	for grown := true; grown; {
		grown = false
		for name, m := range all {
			if _, ok := kept[name]; ok || !wanted[name] && !wanted[m.canonical] && !(m.Subject != nil && wanted[m.Subject.Digest]) {
				continue
			}
			kept[name], grown = m, true
			wanted[name], wanted[m.canonical] = true, true
			_, parts := m.Content()
			for _, d := range parts {
				wanted[d] = true
			}
		}
	}
	return kept, nil
}

func (c *collection) markLayers(ctx context.Context, repository string, needed map[digest.Digest]bool) error {
	links, err := c.s.links(ctx, layersDir(repository))
	if err != nil {
		return err
	}
	canonical := map[digest.Digest]bool{}
	for _, l := range links {
		if needed[l.Name] {
			canonical[l.Canonical] = true
		}
	}
	for _, l := range links {
		// A blob that was uploaded under one name is linked under its canonical one too.
		if needed[l.Name] || canonical[l.Canonical] {
			c.live[l.Canonical] = true
			continue
		}
		dir := under(layersDir(repository), l.Name)
		young, err := c.young(ctx, dir+"/link")
		if err != nil {
			return err
		}
		if young {
			c.live[l.Canonical] = true
			c.report.InUse++
			continue
		}
		c.dead[l.Canonical] = append(c.dead[l.Canonical], dir)
	}
	return nil
}

func (c *collection) young(ctx context.Context, file string) (bool, error) {
	info, err := c.s.driver.Stat(ctx, file)
	if err != nil {
		if isMissing(err) {
			return false, nil
		}
		return false, err
	}
	return !info.ModTime().Before(c.since), nil
}

// uploads removes those that were given up.
func (c *collection) uploads(ctx context.Context, repository string) error {
	ids, err := c.s.list(ctx, uploadsDir(repository))
	if err != nil {
		return err
	}
	for _, id := range ids {
		dir := path.Join(uploadsDir(repository), id)
		var last time.Time
		for _, file := range []string{"data", "startedat"} {
			info, err := c.s.driver.Stat(ctx, path.Join(dir, file))
			if err != nil && !isMissing(err) {
				return err
			}
			if err == nil && info.ModTime().After(last) {
				last = info.ModTime()
			}
		}
		if last.IsZero() || c.started.Sub(last) < c.opt.UploadAge {
			continue
		}
		c.report.Uploads++
		if !c.opt.DryRun {
			if err := c.dropUpload(ctx, dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// dropUpload also empties the file: the library forgets to close it when the
// disk is full, and only then is the room free at once.
func (c *collection) dropUpload(ctx context.Context, dir string) error {
	if c.s.driver.Name() == "filesystem" {
		w, err := c.s.driver.Writer(ctx, path.Join(dir, "data"), false)
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			return fmt.Errorf("empty upload: %w", err)
		}
	}
	return c.s.remove(ctx, dir)
}

// sweep removes manifests, then links, then what no link leads to any more.
func (c *collection) sweep(ctx context.Context) error {
	slices.SortFunc(c.lost, func(a, b lost) int { return b.depth - a.depth })
	for _, m := range c.lost {
		if err := c.takeManifest(ctx, m); err != nil {
			return err
		}
	}
	c.report.Kept = len(c.live)
	order := make([]digest.Digest, 0, len(c.dead))
	for d := range c.dead {
		order = append(order, d)
	}
	slices.Sort(order)
	for _, d := range order {
		if err := c.take(ctx, d); err != nil {
			return err
		}
	}
	return c.s.blobs(ctx, func(d digest.Digest) error {
		if _, done := c.dead[d]; done || c.live[d] {
			return nil
		}
		young, err := c.young(ctx, blobDir(d)+"/data")
		if err != nil {
			return err
		}
		if young {
			c.report.InUse++
			return nil
		}
		return c.take(ctx, d)
	})
}

// blobs gives all blobs of the pool to yield.
func (s *Store) blobs(ctx context.Context, yield func(digest.Digest) error) error {
	algorithms, err := s.list(ctx, blobsRoot)
	if err != nil {
		return err
	}
	for _, a := range algorithms {
		prefixes, err := s.list(ctx, path.Join(blobsRoot, a))
		if err != nil {
			return err
		}
		for _, p := range prefixes {
			names, err := s.list(ctx, path.Join(blobsRoot, a, p))
			if err != nil {
				return err
			}
			for _, n := range names {
				d := digest.NewDigestFromEncoded(digest.Algorithm(a), n)
				if d.Validate() != nil {
					continue
				}
				if err := yield(d); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// takeManifest removes a manifest's link. If somebody has come to need it, all
// that it holds stays.
func (c *collection) takeManifest(ctx context.Context, m lost) error {
	layers, parts := m.Content()
	if !c.s.Leases.claim(m.name, c.since) {
		return c.spare(ctx, m, append(layers, parts...))
	}
	defer c.s.Leases.release(m.name)
	if m.name != m.canonical {
		if !c.s.Leases.claim(m.canonical, c.since) {
			return c.spare(ctx, m, append(layers, parts...))
		}
		defer c.s.Leases.release(m.canonical)
	}
	if !c.opt.DryRun {
		if err := c.s.remove(ctx, under(revisionsDir(m.repository), m.name)); err != nil {
			return err
		}
	}
	c.report.Manifests++
	return nil
}

func (c *collection) spare(ctx context.Context, m lost, held []digest.Digest) error {
	c.report.InUse++
	c.live[m.canonical] = true
	for _, d := range held {
		c.live[d] = true
		canonical, err := c.s.Layer(ctx, m.repository, d)
		if err != nil && !errdefs.IsNotFound(err) {
			return err
		}
		c.live[canonical] = true
		delete(c.dead, canonical)
	}
	// Manifests that it holds come later and find themselves touched.
	return c.s.Leases.Touch(ctx, held...)
}

// take removes one blob's dead links and, if nothing else needs it, the blob.
func (c *collection) take(ctx context.Context, d digest.Digest) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !c.s.Leases.claim(d, c.since) {
		c.report.InUse++
		return nil
	}
	defer c.s.Leases.release(d)
	for _, dir := range c.dead[d] {
		if !c.opt.DryRun {
			if err := c.s.remove(ctx, dir); err != nil {
				return err
			}
		}
		c.report.Links++
	}
	if c.live[d] {
		return nil
	}
	size, err := c.s.Size(ctx, d)
	if errdefs.IsNotFound(err) {
		size, err = 0, nil
	}
	if err != nil {
		return err
	}
	if !c.opt.DryRun {
		if err := c.s.remove(ctx, blobDir(d)); err != nil {
			return err
		}
	}
	c.report.Blobs++
	c.report.Bytes += size
	return nil
}
