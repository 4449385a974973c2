package build

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/common"

	"github.com/berth-containers/berth/internal/build/calls"
)

// Forward has the builder answer a request, with the path without a version. A
// connection that the builder takes over is carried until either side ends; after
// an error the answer, if it began, is not whole.
func (b *Builder) Forward(w http.ResponseWriter, r *http.Request, path string) error {
	conn, release, err := b.reach(r.Context())
	if err != nil {
		return err
	}
	defer release()
	defer conn.Close()
	// The client that goes away ends what it asked for.
	defer context.AfterFunc(r.Context(), func() { conn.Close() })()
	out := r.Clone(r.Context())
	out.URL, out.Host, out.RequestURI = &url.URL{Path: path, RawQuery: r.URL.RawQuery}, "builder", ""
	out.Close = r.Header.Get("Upgrade") == ""
	// Who waits for it hears it when the body is read.
	out.Header.Del("Expect")
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_ = out.Write(conn) // if it fails, there is no answer
	}()
	defer func() { conn.Close(); r.Body.Close(); <-sent }()
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, out)
	if err != nil {
		return lost(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return carry(w, resp, in, conn)
	}
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	return copyFlushed(w, resp.Body)
}

// reach connects with the builder. One that has died and whose remains are being
// taken away has got nothing of the request yet: the next one may have it.
func (b *Builder) reach(ctx context.Context) (net.Conn, func(), error) {
	for try := 0; ; try++ {
		p, release, err := b.acquire(ctx)
		if err != nil {
			return nil, nil, err
		}
		conn, err := dial(ctx, p)
		if err == nil {
			return conn, release, nil
		}
		release()
		if try > 0 || !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, nil, lost(err)
		}
		select {
		case <-p.done:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

func lost(err error) error {
	return errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("the builder died; try again, what was built before is kept (%v)", err))
}

func dial(ctx context.Context, p *process) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", p.socket)
}

// copyFlushed passes on what comes as it comes.
func copyFlushed(w http.ResponseWriter, r io.Reader) error {
	out := http.NewResponseController(w)
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return nil // the client is gone
			}
			if err := out.Flush(); err != nil {
				return nil
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return lost(err)
		}
	}
}

// carry takes the client's connection over and joins it with the builder's.
func carry(w http.ResponseWriter, resp *http.Response, in *bufio.Reader, conn net.Conn) error {
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	defer client.Close()
	resp.Body = nil
	if err := resp.Write(client); err != nil {
		return nil
	}
	var joined sync.WaitGroup
	join := func(to io.Writer, from io.Reader) {
		_, _ = io.Copy(to, from)
		// Neither may hold the other, nor the builder, when it has gone.
		conn.Close()
		client.Close()
	}
	joined.Go(func() { join(conn, buffered) })
	joined.Go(func() { join(client, in) })
	joined.Wait()
	return nil
}

// DiskUsage lists the cache.
func (b *Builder) DiskUsage(ctx context.Context) ([]build.CacheRecord, error) {
	if !b.Used() {
		return nil, nil
	}
	var list []build.CacheRecord
	err := b.ask(ctx, http.MethodGet, calls.CachePath, &list)
	return list, err
}

// MakeRoom lets go of what of the cache no build uses.
func (b *Builder) MakeRoom(ctx context.Context) error {
	if !b.Used() {
		return nil
	}
	var report build.CachePruneReport
	if err := b.ask(ctx, http.MethodPost, "/build/prune?all=1", &report); err != nil {
		return err
	}
	b.log.Info("the build cache went", "records", len(report.CachesDeleted))
	return nil
}

// ask makes a request of the engine's own.
func (b *Builder) ask(ctx context.Context, method, path string, into any) error {
	conn, release, err := b.reach(ctx)
	if err != nil {
		return err
	}
	defer release()
	defer conn.Close()
	client := &http.Client{Transport: &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		DisableKeepAlives: true,
	}}
	q, err := http.NewRequestWithContext(ctx, method, "http://builder"+path, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(q)
	if err != nil {
		return lost(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var e common.ErrorResponse
		_ = json.NewDecoder(resp.Body).Decode(&e)
		return fmt.Errorf("ask the builder: %s", strings.TrimSpace(resp.Status+" "+e.Message))
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
