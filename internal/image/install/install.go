// Package install brings layers into the depot: it fetches, checks and unpacks
// them side by side and links them into a chain when all of them are right.
//
// A staged layer is a directory without a place in a chain. A crash leaves
// staged directories, that are collected, and partial blobs, from where the next
// attempt goes on.
package install

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/berth-containers/berth/internal/image/depot"
	"github.com/berth-containers/berth/internal/image/manifest"
	"github.com/berth-containers/berth/internal/image/progress"
	"github.com/berth-containers/berth/internal/snapshot/layer"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

const (
	// AtOnce is how many layers are fetched and unpacked side by side.
	AtOnce  = 4
	bufSize = 256 << 10
)

// Opener opens the blob of desc at an offset: a registry's, or nil if every
// blob is in the store already.
type Opener func(ctx context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error)

// Staged is a layer that was unpacked but has no place in a chain yet.
type Staged struct {
	key, dir string // dir "" if the chain is there already
	result   layer.Result
}

// Installer brings layers into the depot.
type Installer struct {
	*depot.Depot
	Limit int64  // bytes that one layer may unpack to; 0 for none
	ahead *Ahead // has layers that are unpacked already; may be nil
}

// Install brings all layers of p into the store, fetched by open where they
// are missing, and unpacks them. ctx has a lease. Layers are unpacked side by
// side, each into a directory of its own, and committed in their order.
func (s *Installer) Install(ctx context.Context, p *manifest.Image, open Opener, tell *progress.Teller) error {
	n := len(p.Manifest.Layers)
	chains := make([]string, n)
	for i := range chains {
		chains[i] = p.Chain(i + 1)
	}
	// Chains form a tree and are taken from its root, so nobody waits in a circle.
	release, err := s.Flights.TakeAll(ctx, chains)
	if err != nil {
		return err
	}
	defer release()
	done, err := s.unpackedLayers(ctx, chains)
	if err != nil {
		return err
	}
	for _, l := range p.Manifest.Layers {
		tell.Say(l.Digest, "Pulling fs layer")
	}
	layers := make([]Staged, n)
	group, ctx2 := errgroup.WithContext(ctx)
	group.SetLimit(AtOnce)
	for i, desc := range p.Manifest.Layers {
		group.Go(func() error {
			if ctx2.Err() != nil {
				return context.Cause(ctx2)
			}
			l, err := s.stage(ctx2, desc, i >= done, open, tell)
			if err != nil {
				return fmt.Errorf("layer %s: %w", desc.Digest, err)
			}
			layers[i] = l
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i := done; i < n; i++ {
		if got, want := layers[i].result.DiffID, p.Config.RootFS.DiffIDs[i]; got != want {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
				"layer %s unpacks to %s, but the image's configuration says %s", p.Manifest.Layers[i].Digest, got, want))
		}
	}
	return s.commit(ctx, p, chains, layers, done, tell)
}

// unpackedLayers says how many of the lowest chains are there.
func (s *Installer) unpackedLayers(ctx context.Context, chains []string) (int, error) {
	for i := len(chains); i > 0; i-- {
		here, err := s.HoldChain(ctx, chains[i-1])
		if err != nil {
			return 0, err
		}
		if here {
			return i, nil
		}
	}
	return 0, nil
}

// stage gets one layer's blob and, if it is wanted, unpacks it.
func (s *Installer) stage(ctx context.Context, desc ocispec.Descriptor, unpack bool, open Opener, tell *progress.Teller) (Staged, error) {
	release, err := s.Flights.Take(ctx, "blob "+desc.Digest.String())
	if err != nil {
		return Staged{}, err
	}
	defer release()
	here, err := s.HoldBlob(ctx, desc.Digest)
	if err != nil {
		return Staged{}, err
	}
	if here && !unpack {
		tell.Say(desc.Digest, "Already exists")
		return Staged{}, nil
	}
	if l, ok := s.ahead.take(desc.Digest); here && ok {
		return l, nil
	}
	if !here && open == nil {
		return Staged{}, errdefs.ErrNotFound.WithMessage("the blob is missing")
	}
	var l Staged
	if unpack {
		if l, err = s.newLayer(ctx); err != nil {
			return Staged{}, err
		}
	}
	if !here {
		streamed, err := s.download(ctx, desc, &l, open, tell)
		if err != nil || streamed || !unpack {
			return l, err
		}
	}
	return l, s.unpackBlob(ctx, desc, &l, tell)
}

// newLayer makes the directory that a layer is unpacked into.
func (s *Installer) newLayer(ctx context.Context) (Staged, error) {
	key := "unpack-" + rand.Text()
	mounts, err := s.Layers.Prepare(ctx, key, "")
	if err != nil {
		return Staged{}, fmt.Errorf("make layer directory: %w", err)
	}
	if len(mounts) != 1 || mounts[0].Type != "bind" {
		return Staged{}, fmt.Errorf("make layer directory: %d mounts, not one directory", len(mounts))
	}
	return Staged{key: key, dir: mounts[0].Source}, nil
}

// unpackBlob unpacks a layer whose blob is in the store.
func (s *Installer) unpackBlob(ctx context.Context, desc ocispec.Descriptor, l *Staged, tell *progress.Teller) error {
	ra, err := s.Blobs.ReaderAt(ctx, desc)
	if err != nil {
		return err
	}
	defer ra.Close()
	tell.Say(desc.Digest, "Extracting")
	l.result, err = layer.Apply(ctx, l.dir, tell.Track(desc, content.NewReader(ra), 0, "Extracting"), s.Limit)
	return err
}

// download streams a layer into the store and, unless it resumes an earlier
// attempt, at the same time into l's directory; streamed says if it did.
func (s *Installer) download(ctx context.Context, desc ocispec.Descriptor, l *Staged, open Opener, tell *progress.Teller) (streamed bool, err error) {
	// Without the lease: what came so far outlives a failure, for a day.
	ref := depot.PartOf(desc.Digest)
	w, err := content.OpenWriter(s.Unleased(ctx), s.Blobs, content.WithRef(ref), content.WithDescriptor(desc))
	if err != nil {
		return false, fmt.Errorf("open blob: %w", err)
	}
	defer w.Close()
	st, err := w.Status()
	if err != nil {
		return false, fmt.Errorf("open blob: %w", err)
	}
	if st.Offset > desc.Size {
		if err := w.Truncate(0); err != nil {
			return false, fmt.Errorf("restart blob: %w", err)
		}
		st.Offset = 0
	}
	body, err := open(ctx, desc, st.Offset)
	if err != nil {
		return false, err
	}
	defer body.Close()
	counted := tell.Count(desc, io.LimitReader(body, desc.Size-st.Offset+1), st.Offset)
	streamed = l.dir != "" && st.Offset == 0
	stop := steady(w)
	if streamed {
		l.result, err = s.tee(ctx, w, counted, l.dir)
	} else {
		_, err = io.CopyBuffer(onlyWriter{w}, counted, make([]byte, bufSize))
	}
	stop()
	var bad unpackError
	if errors.As(err, &bad) {
		// Bytes that were changed on the way are the likelier cause: the rest
		// of them shows it.
		if _, rest := io.CopyBuffer(onlyWriter{w}, counted, make([]byte, bufSize)); rest == nil {
			if wrong := checkBlob(desc, w); wrong != nil {
				err = wrong
			}
		}
	} else if err == nil {
		tell.Say(desc.Digest, "Verifying Checksum")
		err = checkBlob(desc, w)
	} else if st, stErr := w.Status(); stErr == nil {
		err = asTruncated(err, st.Offset, desc.Size)
	}
	if err != nil {
		return false, s.keepPart(ctx, ref, desc, w, err)
	}
	if err := w.Commit(ctx, desc.Size, desc.Digest); err != nil && !errdefs.IsAlreadyExists(err) {
		return false, fmt.Errorf("store blob: %w", err)
	}
	tell.Say(desc.Digest, "Download complete")
	return streamed, nil
}

// tee writes r into the blob w and unpacks it into dir.
func (s *Installer) tee(ctx context.Context, w io.Writer, r io.Reader, dir string) (layer.Result, error) {
	pipe := newPipe()
	var res layer.Result
	var unpackErr error
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		res, unpackErr = layer.Apply(ctx, dir, pipe, s.Limit)
		pipe.stop()
	}()
	_, err := io.CopyBuffer(io.MultiWriter(w, pipe), r, make([]byte, bufSize))
	pipe.end(err)
	<-finished
	if err != nil && !errors.Is(err, errPipeStopped) {
		return res, err
	}
	if unpackErr != nil {
		return res, unpackError{unpackErr}
	}
	return res, nil
}

// unpackError is an error of a layer's content, not of its transfer.
type unpackError struct{ error }

func (e unpackError) Unwrap() error { return e.error }

// checkBlob compares what was written with what was to come.
func checkBlob(desc ocispec.Descriptor, w content.Writer) error {
	st, err := w.Status()
	if err != nil {
		return fmt.Errorf("check blob: %w", err)
	}
	if st.Offset < desc.Size {
		return truncated{got: st.Offset, want: desc.Size}
	}
	if got := w.Digest(); st.Offset > desc.Size || got != desc.Digest {
		return mismatch{got: got}
	}
	return nil
}

// keepPart keeps a partial download for the next attempt if its bytes may be
// right, and drops it otherwise.
func (s *Installer) keepPart(ctx context.Context, ref string, desc ocispec.Descriptor, w content.Writer, cause error) error {
	st, err := w.Status()
	w.Close()
	var bad mismatch
	// On a full disk it would only be in the way.
	full := errors.Is(cause, syscall.ENOSPC) || errors.Is(context.Cause(ctx), syscall.ENOSPC)
	if err == nil && !full && st.Offset <= desc.Size && st.Offset > 0 && !errors.As(cause, &bad) && !errdefs.IsInvalidArgument(cause) {
		return cause
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), depot.CleanTime)
	defer cancel()
	if err := s.Blobs.Abort(s.Unleased(ctx), ref); err != nil && !errdefs.IsNotFound(err) {
		s.Log.Warn("drop partial blob", "digest", desc.Digest, "error", err)
	}
	return cause
}

// asTruncated words the end of a connection in the middle of a layer.
func asTruncated(err error, got, want int64) error {
	if errors.Is(err, io.ErrUnexpectedEOF) && got < want {
		return truncated{got: got, want: want}
	}
	return err
}

type truncated struct{ got, want int64 }

func (t truncated) Error() string {
	return fmt.Sprintf("truncated: %d of %d bytes came; try again, it goes on from there", t.got, t.want)
}
func (truncated) Is(target error) bool { return target == errdefs.ErrUnavailable }

type mismatch struct{ got digest.Digest }

func (m mismatch) Error() string {
	return fmt.Sprintf("digest mismatch: the bytes that came have %s; the registry or a proxy in between is broken", m.got)
}
func (mismatch) Is(target error) bool { return target == errdefs.ErrDataLoss }

// commit links the staged layers into the chain and has them made durable.
func (s *Installer) commit(ctx context.Context, p *manifest.Image, chains []string, layers []Staged, done int, tell *progress.Teller) error {
	if done == len(layers) {
		return nil
	}
	var lowers []string
	if done > 0 {
		var err error
		if lowers, err = s.ChainDirs(ctx, chains[done-1]); err != nil {
			return err
		}
	}
	for i := done; i < len(layers); i++ {
		if err := layer.Settle(layers[i].dir, layers[i].result, lowers); err != nil {
			return err
		}
		lowers = append([]string{layers[i].dir}, lowers...)
	}
	flusher := depot.Flusher{Depot: s.Depot}
	labels, err := flusher.Labels()
	if err != nil {
		return err
	}
	defer flusher.Later()
	for i := done; i < len(layers); i++ {
		opts := []snapshots.Opt{snapshots.WithLabels(labels)}
		if i > 0 {
			opts = append(opts, snapshots.WithParent(chains[i-1]))
		}
		err := s.Layers.Commit(ctx, chains[i], layers[i].key, opts...)
		if err != nil && !errdefs.IsAlreadyExists(err) {
			return fmt.Errorf("commit layer %s: %w", p.Manifest.Layers[i].Digest, err)
		}
		tell.Say(p.Manifest.Layers[i].Digest, "Pull complete")
	}
	return nil
}

// Again unpacks an image whose layers are not, or no longer, unpacked.
func (s *Installer) Again(ctx context.Context, r manifest.Reading) (done func(error), err error) {
	p, err := manifest.Read(ctx, s.Depot, r)
	if err != nil {
		return nil, err
	}
	if err := p.Check(); err != nil {
		return nil, err
	}
	ctx, done, err = s.Lease(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.Install(ctx, p, nil, nil); err != nil {
		done(err)
		return nil, err
	}
	if err := manifest.Adopt(ctx, s.Depot, r.Target, p); err != nil {
		done(err)
		return nil, err
	}
	return done, nil
}

// onlyWriter hides every other method of a writer.
type onlyWriter struct{ io.Writer }
