package image

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/berth-containers/berth/internal/snapshot/layer"
	"github.com/berth-containers/berth/internal/sys/syncfs"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

const (
	// atOnce is how many layers are fetched and unpacked side by side.
	atOnce  = 4
	bufSize = 256 << 10
)

// opener opens the blob of desc at an offset: a registry's, or nil if every
// blob is in the store already.
type opener func(ctx context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error)

// staged is a layer that was unpacked but has no place in a chain yet.
type staged struct {
	key, dir string // dir "" if the chain is there already
	result   layer.Result
}

// installer brings layers into the depot.
type installer struct{ *depot }

// install brings all layers of p into the store, fetched by open where they
// are missing, and unpacks them. ctx has a lease. Layers are unpacked side by
// side, each into a directory of its own, and committed in their order.
func (s *installer) install(ctx context.Context, p *parsed, open opener, tell *teller) error {
	n := len(p.manifest.Layers)
	chains := make([]string, n)
	for i := range chains {
		chains[i] = p.chain(i + 1)
	}
	// Chains form a tree and are taken from its root, so nobody waits in a circle.
	release, err := s.flights.takeAll(ctx, chains)
	if err != nil {
		return err
	}
	defer release()
	done, err := s.unpackedLayers(ctx, chains)
	if err != nil {
		return err
	}
	for _, l := range p.manifest.Layers {
		tell.say(l.Digest, "Pulling fs layer")
	}
	layers := make([]staged, n)
	group, ctx2 := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, desc := range p.manifest.Layers {
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
		if got, want := layers[i].result.DiffID, p.config.RootFS.DiffIDs[i]; got != want {
			return invalid("layer %s unpacks to %s, but the image's configuration says %s", p.manifest.Layers[i].Digest, got, want)
		}
	}
	return s.commit(ctx, p, chains, layers, done, tell)
}

// unpackedLayers says how many of the lowest chains are there.
func (s *installer) unpackedLayers(ctx context.Context, chains []string) (int, error) {
	for i := len(chains); i > 0; i-- {
		here, err := s.holdChain(ctx, chains[i-1])
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
func (s *installer) stage(ctx context.Context, desc ocispec.Descriptor, unpack bool, open opener, tell *teller) (staged, error) {
	release, err := s.flights.take(ctx, "blob "+desc.Digest.String())
	if err != nil {
		return staged{}, err
	}
	defer release()
	here, err := s.holdBlob(ctx, desc.Digest)
	if err != nil {
		return staged{}, err
	}
	if here && !unpack {
		tell.say(desc.Digest, "Already exists")
		return staged{}, nil
	}
	if !here && open == nil {
		return staged{}, errdefs.ErrNotFound.WithMessage("the blob is missing")
	}
	var l staged
	if unpack {
		if l, err = s.newLayer(ctx); err != nil {
			return staged{}, err
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
func (s *installer) newLayer(ctx context.Context) (staged, error) {
	key := "unpack-" + rand.Text()
	mounts, err := s.layers.Prepare(ctx, key, "")
	if err != nil {
		return staged{}, fmt.Errorf("make layer directory: %w", err)
	}
	if len(mounts) != 1 || mounts[0].Type != "bind" {
		return staged{}, fmt.Errorf("make layer directory: %d mounts, not one directory", len(mounts))
	}
	return staged{key: key, dir: mounts[0].Source}, nil
}

// unpackBlob unpacks a layer whose blob is in the store.
func (s *installer) unpackBlob(ctx context.Context, desc ocispec.Descriptor, l *staged, tell *teller) error {
	ra, err := s.blobs.ReaderAt(ctx, desc)
	if err != nil {
		return err
	}
	defer ra.Close()
	tell.say(desc.Digest, "Extracting")
	l.result, err = layer.Apply(ctx, l.dir, content.NewReader(ra))
	return err
}

// download streams a layer into the store and, unless it resumes an earlier
// attempt, at the same time into l's directory; streamed says if it did.
func (s *installer) download(ctx context.Context, desc ocispec.Descriptor, l *staged, open opener, tell *teller) (streamed bool, err error) {
	// Without the lease: what came so far outlives a failure, for a day.
	ref := "layer-" + desc.Digest.String()
	w, err := content.OpenWriter(s.unleased(ctx), s.blobs, content.WithRef(ref), content.WithDescriptor(desc))
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
	counted := tell.count(desc, io.LimitReader(body, desc.Size-st.Offset+1), st.Offset)
	streamed = l.dir != "" && st.Offset == 0
	if streamed {
		l.result, err = s.tee(ctx, w, counted, l.dir)
	} else {
		_, err = io.CopyBuffer(onlyWriter{w}, counted, make([]byte, bufSize))
	}
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
		tell.say(desc.Digest, "Verifying Checksum")
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
	tell.say(desc.Digest, "Download complete")
	return streamed, nil
}

// unleased is ctx without its lease.
func (s *depot) unleased(ctx context.Context) context.Context { return s.scope(valueless{ctx}) }

// valueless is a context's life without its values.
type valueless struct{ context.Context }

func (valueless) Value(any) any { return nil }

// tee writes r into the blob w and unpacks it into dir.
func (s *installer) tee(ctx context.Context, w io.Writer, r io.Reader, dir string) (layer.Result, error) {
	pipe := newPipe()
	var res layer.Result
	var unpackErr error
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		res, unpackErr = layer.Apply(ctx, dir, pipe)
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
func (s *installer) keepPart(ctx context.Context, ref string, desc ocispec.Descriptor, w content.Writer, cause error) error {
	st, err := w.Status()
	w.Close()
	var bad mismatch
	if err == nil && st.Offset < desc.Size && st.Offset > 0 && !errors.As(cause, &bad) && !errdefs.IsInvalidArgument(cause) {
		return cause
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
	defer cancel()
	if err := s.blobs.Abort(s.unleased(ctx), ref); err != nil && !errdefs.IsNotFound(err) {
		s.log.Warn("drop partial blob", "digest", desc.Digest, "error", err)
	}
	return cause
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

// commit makes the staged layers durable and links them into the chain.
func (s *installer) commit(ctx context.Context, p *parsed, chains []string, layers []staged, done int, tell *teller) error {
	if done == len(layers) {
		return nil
	}
	var lowers []string
	if done > 0 {
		var err error
		if lowers, err = s.chainDirs(ctx, chains[done-1]); err != nil {
			return err
		}
	}
	for i := done; i < len(layers); i++ {
		if err := layer.Inherit(layers[i].dir, layers[i].result.Implied, lowers); err != nil {
			return err
		}
		lowers = append([]string{layers[i].dir}, lowers...)
	}
	// Once for all: a committed layer must survive a power cut as it is.
	if err := syncfs.Sync(s.root); err != nil {
		return err
	}
	for i := done; i < len(layers); i++ {
		var opts []snapshots.Opt
		if i > 0 {
			opts = append(opts, snapshots.WithParent(chains[i-1]))
		}
		err := s.layers.Commit(ctx, chains[i], layers[i].key, opts...)
		if err != nil && !errdefs.IsAlreadyExists(err) {
			return fmt.Errorf("commit layer %s: %w", p.manifest.Layers[i].Digest, err)
		}
		tell.say(p.manifest.Layers[i].Digest, "Pull complete")
	}
	return nil
}

// unpackAgain unpacks an image whose layers are not, or no longer, unpacked.
func (s *installer) unpackAgain(ctx context.Context, img Image) (done func(error), err error) {
	p, err := s.parse(ctx, reading{img.Target, img.Manifest.Digest})
	if err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	ctx, done, err = s.lease(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.install(ctx, p, nil, nil); err != nil {
		done(err)
		return nil, err
	}
	if err := s.adopt(ctx, img.Target, p); err != nil {
		done(err)
		return nil, err
	}
	return done, nil
}

// onlyWriter hides every other method of a writer.
type onlyWriter struct{ io.Writer }
