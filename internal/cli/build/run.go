package build

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/moby/buildkit/client"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/errdefs"

	"github.com/berth-containers/berth/internal/cli/build/tree"
	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/format"
	"github.com/berth-containers/berth/internal/cli/terminal"
)

// interrupted is the exit code of a build that Ctrl-C ended.
const interrupted = 130

func (o *options) run(ctx context.Context, e *env.Env) error {
	mode, err := o.mode(e)
	if err != nil {
		return err
	}
	if o.debugShell && (terminal.Of(e.In) == nil || terminal.Of(e.Out) == nil) {
		return errors.New("--debug-shell needs a terminal as standard input and output")
	}
	p, err := o.plan(e)
	if err != nil {
		return err
	}
	defer p.close()
	if err := removeStale(o.iidFile); err != nil {
		return err
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	c, err := dial(ctx, e)
	if err != nil {
		return err
	}
	defer c.Close()

	view := tree.New(e.Err, mode, o.title())
	answer, err := o.solve(ctx, e, c, p, view)
	switch {
	case err == nil:
		return o.finish(e, p, answer, view)
	case ctx.Err() != nil:
		return &env.Status{Code: interrupted, Err: errors.New("the build was interrupted; the steps that were done stay in the cache")}
	}
	return o.explain(e, p, view, err)
}

// interruptible is cancelled by Ctrl-C. One more, a moment later, ends the
// program at once; what comes together is one.
func interruptible(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		var first time.Time
		for {
			select {
			case <-signals:
				if !first.IsZero() && time.Since(first) > time.Second {
					os.Exit(interrupted)
				}
				if first.IsZero() {
					first = time.Now()
				}
				cancel()
			case <-done:
				return
			}
		}
	})
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		wait.Wait()
		cancel()
	}
}

func (o *options) title() string {
	if len(o.tags) > 0 {
		return o.tags[0]
	}
	return o.context
}

// mode is how progress is shown.
func (o *options) mode(e *env.Env) (tree.Mode, error) {
	if o.quiet && o.progress != "auto" && o.progress != "quiet" {
		return "", fmt.Errorf("--quiet and --progress=%s exclude each other", o.progress)
	}
	mode := tree.Mode(o.progress)
	switch mode {
	case tree.Plain, tree.JSON:
	case "quiet":
		o.quiet, mode = true, tree.None
	case tree.None:
	case tree.Terminal:
		if terminal.Of(e.Err) == nil {
			return "", errors.New("--progress=tty needs a terminal as standard error")
		}
	case "auto":
		switch {
		case o.quiet:
			mode = tree.None
		case terminal.Of(e.Err) != nil:
			mode = tree.Terminal
		default:
			mode = tree.Plain
		}
	default:
		return "", fmt.Errorf("invalid value %q for --progress: it takes auto, plain, tty, rawjson, quiet or none", o.progress)
	}
	if (o.check || o.call != "build") && mode != tree.JSON {
		mode = tree.None
	}
	return mode, nil
}

// dial speaks to the builder through the engine's socket.
func dial(ctx context.Context, e *env.Env) (*client.Client, error) {
	// BuildKit's client connects when it is first used, and hides why it could not.
	first, err := e.Client.Upgrade(ctx, "/grpc", "h2c", nil)
	if err != nil {
		return nil, err
	}
	connect := func(ctx context.Context, _ string) (net.Conn, error) {
		if conn := first; conn != nil {
			first = nil
			return conn, nil
		}
		return e.Client.Upgrade(ctx, "/grpc", "h2c", nil)
	}
	return client.New(ctx, "", client.WithContextDialer(connect),
		client.WithSessionDialer(func(ctx context.Context, protocol string, meta map[string][]string) (net.Conn, error) {
			return e.Client.Upgrade(ctx, "/session", protocol, http.Header(meta))
		}))
}

// answer is what a build or a request came to.
type answer struct {
	exporter map[string]string
	metadata map[string][]byte
}

// solve runs the build and shows how it goes.
func (o *options) solve(ctx context.Context, e *env.Env, c *client.Client, p *plan, view *tree.View) (*answer, error) {
	status := make(chan *client.SolveStatus)
	shown := make(chan struct{})
	go func() {
		view.Show(status)
		close(shown)
	}()
	a := &answer{}
	if p.request == "" && !o.debugShell {
		r, err := c.Solve(ctx, nil, p.solve, status)
		<-shown
		if r != nil {
			a.exporter = r.ExporterResponse
		}
		return a, err
	}
	r, err := c.Build(ctx, p.solve, "berth", func(ctx context.Context, g gateway.Client) (*gateway.Result, error) {
		result, err := g.Solve(ctx, gateway.SolveRequest{
			Frontend: p.solve.Frontend, FrontendOpt: p.frontendAttrs(), Evaluate: o.debugShell, CacheImports: imports(p.solve.CacheImports),
		})
		if result != nil {
			a.metadata = result.Metadata
		}
		var failed *errdefs.SolveError
		if o.debugShell && errors.As(err, &failed) {
			view.Pause()
			o.shell(ctx, e, g, failed)
		}
		return result, err
	}, status)
	<-shown
	if r != nil {
		a.exporter = r.ExporterResponse
	}
	return a, err
}

func imports(list []client.CacheOptionsEntry) []gateway.CacheOptionsEntry {
	var all []gateway.CacheOptionsEntry
	for _, c := range list {
		all = append(all, gateway.CacheOptionsEntry{Type: c.Type, Attrs: c.Attrs})
	}
	return all
}

// finish tells of a build that went well.
func (o *options) finish(e *env.Env, p *plan, a *answer, view *tree.View) error {
	if p.request != "" {
		return o.printAnswer(e, p, a)
	}
	id := a.exporter["containerimage.config.digest"]
	if id == "" {
		id = a.exporter["containerimage.digest"]
	}
	if o.iidFile != "" {
		if err := os.WriteFile(o.iidFile, []byte(id), 0o644); err != nil { //nolint:gosec // docker's mode
			return fmt.Errorf("write --iidfile: %w", err)
		}
	}
	if err := o.writeMetadata(a); err != nil {
		return err
	}
	if o.quiet {
		if id != "" {
			fmt.Fprintln(e.Out, id)
		}
		return nil
	}
	if view.Mode() == tree.JSON || view.Mode() == tree.None {
		return nil
	}
	o.printWarnings(e, p, view.Warnings())
	line := "Built"
	if id != "" {
		line += " " + format.ShortID(id)
	}
	if len(o.tags) > 0 {
		line += " as " + strings.Join(o.tags, ", ")
	}
	line += " in " + tree.Duration(view.Elapsed())
	if saved := view.Said("smaller by "); saved != "" {
		line += ", " + saved
	}
	fmt.Fprintln(e.Err, line)
	return nil
}

// patience bounds what is done for a build that ended.
const patience = 5 * time.Second
