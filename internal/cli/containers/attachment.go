package containers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"sync"
	"syscall"

	"github.com/moby/moby/api/types/container"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/auth"
	"github.com/berth-containers/berth/internal/cli/client"
	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/terminal"
)

// attachment is how the user's streams are joined to a container's.
type attachment struct {
	env                  *env.Env
	session              terminal.Session
	keys                 string
	stdin, stdout, errOu bool
	sigProxy             bool
	started              bool // by startAndFollow
}

var errNoTTY = errors.New("the input device is not a TTY")

// newAttachment also checks what it can before anything is made.
func newAttachment(e *env.Env, c *container.Config, keys string) (*attachment, error) {
	if keys == "" {
		config, err := auth.Load(e.ConfigDir)
		if err != nil {
			return nil, err
		}
		keys = config.DetachKeys
	}
	parsed, err := terminal.ParseKeys(keys)
	if err != nil {
		return nil, err
	}
	a := &attachment{env: e, keys: keys, stdin: c.AttachStdin, stdout: c.AttachStdout, errOu: c.AttachStderr}
	a.session = terminal.Session{TTY: c.Tty, Keys: parsed}
	if a.stdin {
		if c.Tty && terminal.Of(e.In) == nil {
			return nil, &env.Status{Code: 1, Err: errNoTTY}
		}
		a.session.In = e.In
	}
	if a.stdout {
		a.session.Out = e.Out
	}
	if a.errOu {
		a.session.Err = e.Err
		if c.Tty && a.session.Out == nil {
			a.session.Out = e.Out
		}
	}
	return a, nil
}

func (a *attachment) any() bool { return a.stdin || a.stdout || a.errOu }

// open attaches; output that comes from now on is not missed.
func (a *attachment) open(ctx context.Context, id string) (*client.Stream, error) {
	query := url.Values{"stream": {"1"}}
	for name, wanted := range map[string]bool{"stdin": a.stdin, "stdout": a.stdout, "stderr": a.errOu} {
		if wanted {
			query.Set(name, "1")
		}
	}
	if a.keys != "" {
		query.Set("detachKeys", a.keys)
	}
	return a.env.Client.Hijack(ctx, "/containers/"+client.Ref(id)+"/attach", query, nil)
}

// startAndFollow attaches and waits first, so that neither output nor end are
// missed, then starts, and returns with the container's end or a detach.
func (a *attachment) startAndFollow(ctx context.Context, id string, remove bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	condition := container.WaitConditionNextExit
	if remove {
		condition = container.WaitConditionRemoved
	}
	var stream *client.Stream
	var opened sync.WaitGroup
	var attachErr error
	if a.any() {
		opened.Go(func() { stream, attachErr = a.open(ctx, id) })
	}
	end, waitErr := waitFor(ctx, a.env, id, condition)
	opened.Wait()
	if err := errors.Join(attachErr, waitErr); err != nil {
		return err
	}
	stopSignals := a.forward(ctx, id)
	defer stopSignals()
	if err := start(ctx, a.env, id); err != nil {
		if stream != nil {
			stream.Close()
		}
		return startFailed(err)
	}
	a.started = true
	return a.follow(ctx, id, stream, end)
}

// forward passes the signals on that the user's terminal does not.
func (a *attachment) forward(ctx context.Context, id string) (stop func()) {
	if !a.sigProxy || a.session.TTY && terminal.Of(a.env.In) != nil && a.stdin {
		return func() {}
	}
	return forwardSignals(a.env.Err, func(sig syscall.Signal) error {
		return a.env.Client.Post(ctx, "/containers/"+client.Ref(id)+"/kill", url.Values{"signal": {strconv.Itoa(int(sig))}}, nil, nil)
	})
}

// follow joins the streams of a running container until its end or a detach.
func (a *attachment) follow(ctx context.Context, id string, stream *client.Stream, end <-chan waited) error {
	if stream != nil {
		if f := terminal.Of(a.env.Out); f != nil && a.session.TTY {
			defer terminal.WatchSize(f, func(w, h uint) { resize(ctx, a.env.Client, "/containers/"+client.Ref(id), w, h) })()
		}
		detached, err := a.session.Join(ctx, stream)
		if err := sessionError(err); err != nil || detached {
			return err
		}
	}
	w := <-end
	if w.err != nil {
		return fmt.Errorf("wait for the container's end: %w", w.err)
	}
	return exited(w.WaitResponse)
}

// sessionError gives the end by a signal its exit code.
func sessionError(err error) error {
	var k *terminal.Killed
	if errors.As(err, &k) {
		return &env.Status{Code: 128 + int(k.Signal)}
	}
	return err
}

// resize may fail: the container may just have ended, or not yet begun, and the
// next change sets it right.
func resize(ctx context.Context, c *client.Client, path string, width, height uint) {
	_ = c.Post(ctx, path+"/resize", url.Values{"w": {fmt.Sprint(width)}, "h": {fmt.Sprint(height)}}, nil, nil)
}

func decode(r io.Reader, v any) error {
	err := json.NewDecoder(r).Decode(v)
	if errors.Is(err, io.EOF) {
		return errors.New("the engine went away")
	}
	return err
}

// AttachCommand is `attach`.
func AttachCommand(e *env.Env) *cobra.Command {
	var noStdin, sigProxy bool
	var keys string
	cmd := &cobra.Command{
		Use: "attach [OPTIONS] CONTAINER", Short: "Attach local standard input, output, and error streams to a running container",
		Args: env.Exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return attach(cmd.Context(), e, args[0], !noStdin, sigProxy, keys)
		},
	}
	cmd.Flags().BoolVar(&noStdin, "no-stdin", false, "Do not attach STDIN")
	cmd.Flags().BoolVar(&sigProxy, "sig-proxy", true, "Proxy all received signals to the process")
	cmd.Flags().StringVar(&keys, "detach-keys", "", "Override the key sequence for detaching a container")
	return cmd
}

func attach(ctx context.Context, e *env.Env, ref string, stdin, sigProxy bool, keys string) error {
	c, err := inspect(ctx, e, ref)
	if err != nil {
		return err
	}
	switch {
	case !c.State.Running:
		return errors.New("cannot attach to a stopped container, start it first")
	case c.State.Paused:
		return errors.New("cannot attach to a paused container, unpause it first")
	case c.State.Restarting:
		return errors.New("cannot attach to a restarting container, wait until it is running")
	}
	config := *c.Config
	config.AttachStdin, config.AttachStdout, config.AttachStderr = stdin && c.Config.OpenStdin, true, true
	a, err := newAttachment(e, &config, keys)
	if err != nil {
		return err
	}
	a.sigProxy = sigProxy
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	end, err := waitFor(ctx, e, c.ID, "")
	if err != nil {
		return err
	}
	stream, err := a.open(ctx, c.ID)
	if err != nil {
		return err
	}
	defer a.forward(ctx, c.ID)()
	return a.follow(ctx, c.ID, stream, end)
}

func inspect(ctx context.Context, e *env.Env, ref string) (container.InspectResponse, error) {
	var c container.InspectResponse
	if err := e.Client.Get(ctx, "/containers/"+client.Ref(ref)+"/json", nil, &c); err != nil {
		return c, err
	}
	if c.State == nil || c.Config == nil || c.HostConfig == nil {
		return c, fmt.Errorf("the engine's answer about container %s is incomplete", ref)
	}
	return c, nil
}
