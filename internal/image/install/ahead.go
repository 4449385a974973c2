package install

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"

	"github.com/berth-containers/berth/internal/snapshot/layer"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// Ahead is the content store that an archive is read into. While later blobs
// still arrive, earlier ones are made durable and, if they look like layers,
// unpacked: what they belong to is known only at the archive's end. Reads wait
// for all blobs that came. Its context owns what it stores.
type Ahead struct {
	content.Store
	s      *Installer
	prefix string // of the references, so that two archives are not mixed up
	work   *errgroup.Group
	ctx    context.Context //nolint:containedctx // of the one archive that this is

	mu     sync.Mutex
	staged map[digest.Digest]Staged
	failed error
}

// Ahead returns the store for one archive. The caller waits for it with Wait.
func (s *Installer) Ahead(ctx context.Context) *Ahead {
	a := &Ahead{Store: s.Blobs, s: s, prefix: "load-" + rand.Text() + "-", work: &errgroup.Group{}, ctx: ctx, staged: map[digest.Digest]Staged{}}
	a.work.SetLimit(AtOnce)
	return a
}

// Close ends what runs for the archive.
func (a *Ahead) Close() { _ = a.work.Wait() }

// Installer installs the images of the archive with the layers that are
// unpacked already.
func (a *Ahead) Installer() *Installer {
	return &Installer{Depot: a.s.Depot, Limit: a.s.Limit, ahead: a}
}

// Wait waits for the blobs that came.
func (a *Ahead) Wait() error {
	_ = a.work.Wait() // the failure has it
	return a.failure()
}

func (a *Ahead) failure() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failed
}

// Left says if layers were unpacked that no image took.
func (a *Ahead) Left() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.staged) > 0
}

func (a *Ahead) take(d digest.Digest) (Staged, bool) {
	if a == nil {
		return Staged{}, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	l, ok := a.staged[d]
	delete(a.staged, d)
	return l, ok
}

// Info and ReaderAt look at a blob that came.
func (a *Ahead) Info(ctx context.Context, d digest.Digest) (content.Info, error) {
	if err := a.Wait(); err != nil {
		return content.Info{}, err
	}
	return a.Store.Info(ctx, d)
}

func (a *Ahead) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	if err := a.Wait(); err != nil {
		return nil, err
	}
	return a.Store.ReaderAt(ctx, desc)
}

// Writer opens a blob, whose Commit only hands it on.
func (a *Ahead) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	if err := a.failure(); err != nil {
		return nil, err
	}
	var o content.WriterOpts
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	w, err := a.Store.Writer(ctx, append(opts, content.WithRef(a.prefix+o.Ref))...)
	if err != nil {
		return nil, err
	}
	return &aheadWriter{Writer: w, a: a, stop: steady(w)}, nil
}

type aheadWriter struct {
	content.Writer
	a       *Ahead
	stop    func()
	written int64
	handed  bool
}

// Write stores no more of one blob than a layer may have: the archive may be a
// bomb as well as what is in it.
func (w *aheadWriter) Write(b []byte) (int, error) {
	if w.written += int64(len(b)); w.a.s.Limit > 0 && w.written > w.a.s.Limit {
		return 0, layer.TooLarge{Limit: w.a.s.Limit}
	}
	return w.Writer.Write(b)
}

func (w *aheadWriter) Commit(_ context.Context, size int64, expected digest.Digest, opts ...content.Opt) error {
	w.handed = true
	w.stop()
	w.a.work.Go(func() error {
		err := w.a.store(w.Writer, size, expected, opts...)
		if err != nil {
			w.a.mu.Lock()
			w.a.failed = errors.Join(w.a.failed, err)
			w.a.mu.Unlock()
		}
		return err
	})
	return nil
}

func (w *aheadWriter) Close() error {
	if w.handed {
		return nil
	}
	w.stop()
	return w.Writer.Close()
}

// store makes one blob durable and unpacks it if it is new.
func (a *Ahead) store(w content.Writer, size int64, expected digest.Digest, opts ...content.Opt) error {
	defer w.Close()
	desc := ocispec.Descriptor{Digest: w.Digest()}
	if err := w.Commit(a.ctx, size, expected, opts...); err != nil {
		if errdefs.IsAlreadyExists(err) {
			return nil
		}
		return fmt.Errorf("store blob: %w", err)
	}
	l, err := a.s.unpackAhead(a.ctx, desc)
	if errors.As(err, &layer.TooLarge{}) || errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("layer %s: %w", desc.Digest, err)
	}
	// What cannot be unpacked may be no layer; one that is says so later.
	if err == nil && l.dir != "" {
		a.mu.Lock()
		a.staged[desc.Digest] = l
		a.mu.Unlock()
	}
	return nil
}

// unpackAhead unpacks a blob that looks like a layer.
func (s *Installer) unpackAhead(ctx context.Context, desc ocispec.Descriptor) (Staged, error) {
	ra, err := s.Blobs.ReaderAt(ctx, desc)
	if err != nil {
		return Staged{}, err
	}
	defer ra.Close()
	head := make([]byte, 512)
	n, err := ra.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) || !layer.Likely(head[:n]) {
		return Staged{}, err
	}
	l, err := s.newLayer(ctx)
	if err != nil {
		return Staged{}, err
	}
	l.result, err = layer.Apply(ctx, l.dir, content.NewReader(ra), s.Limit)
	return l, err
}
