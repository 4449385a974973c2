package distribution

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// idle ends requests whose body makes no progress, in either direction.
type idle struct {
	next  http.RoundTripper
	limit time.Duration
}

// silent is the error of a registry that stopped.
type silent struct {
	host  string
	limit time.Duration
}

func (s silent) Error() string {
	return fmt.Sprintf("registry %s made no progress for %s; try again, what came is kept", s.host, s.limit)
}
func (silent) Timeout() bool { return true }

func (i *idle) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	w := &watch{limit: i.limit, ctx: ctx, cancel: cancel, err: silent{req.URL.Host, i.limit}}
	out := req.Clone(ctx)
	if req.Body != nil {
		w.start()
		out.Body = &watched{ReadCloser: req.Body, w: w}
	}
	resp, err := i.next.RoundTrip(out)
	if err != nil {
		w.stop()
		if context.Cause(ctx) == error(w.err) {
			err = w.err
		}
		cancel(nil)
		return nil, err
	}
	w.stop()
	resp.Body = &watched{ReadCloser: resp.Body, w: w, last: true}
	return resp, nil
}

// watch cancels a request when nothing has moved for the limit.
type watch struct {
	limit  time.Duration
	err    silent
	ctx    context.Context //nolint:containedctx // of the one request that this is
	cancel context.CancelCauseFunc

	mu    sync.Mutex
	timer *time.Timer
}

func (w *watch) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
	w.timer = time.AfterFunc(w.limit, func() { w.cancel(w.err) })
}

func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
}

// watched is a body of a watched request; the last is the response's, whose
// clock runs only while somebody waits for it.
type watched struct {
	io.ReadCloser
	w    *watch
	last bool
}

func (b *watched) Read(p []byte) (int, error) {
	if !b.last {
		n, err := b.ReadCloser.Read(p)
		b.w.start() // what was read is to be sent now
		return n, err
	}
	b.w.start()
	n, err := b.ReadCloser.Read(p)
	b.w.stop()
	if err != nil && context.Cause(b.w.ctx) == error(b.w.err) {
		return n, b.w.err
	}
	return n, err
}

func (b *watched) Close() error {
	err := b.ReadCloser.Close()
	if b.last {
		b.w.stop()
		b.w.cancel(nil)
	}
	return err
}
