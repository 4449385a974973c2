package server

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types"
	"github.com/moby/moby/api/types/container"

	"github.com/berth-containers/berth/internal/api/decode"
	"github.com/berth-containers/berth/internal/api/stream"
	"github.com/berth-containers/berth/internal/engine"
)

// mediaType names the form of a process's output; older clients know only one.
func mediaType(r *request, tty bool) string {
	if tty || r.version.Before("1.42") {
		return types.MediaTypeRawStream
	}
	return types.MediaTypeMultiplexedStream
}

// logBuffer is how much of a log is sent at once while there is more.
const logBuffer = 64 << 10

func containerLogs(e outputs) handler {
	return func(w http.ResponseWriter, r *request) error {
		o, err := logsOptions(r)
		if err != nil {
			return err
		}
		tty, err := e.LogsTTY(r.name)
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", mediaType(r, tty))
		out := http.NewResponseController(w)
		if o.Follow {
			// Nothing may be written for long; the client learns that it is heard.
			w.WriteHeader(http.StatusOK)
			if err := out.Flush(); err != nil {
				return nil // it is gone
			}
		}
		buffered := bufio.NewWriterSize(w, logBuffer)
		o.Idle = func() error {
			if err := buffered.Flush(); err != nil {
				return err
			}
			return out.Flush()
		}
		lw := &stream.LogWriter{W: buffered, TTY: tty, Timestamps: decode.Bool(r.query, "timestamps"), Details: decode.Bool(r.query, "details")}
		if err = e.Logs(r.Context(), r.name, o, lw.Write); err == nil {
			err = buffered.Flush()
		}
		return ignoreGone(r.Context(), err)
	}
}

// ignoreGone drops the error of a stream that ended because the client went
// away or the server shuts down.
func ignoreGone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func logsOptions(r *request) (o engine.LogsOptions, err error) {
	o = engine.LogsOptions{
		Follow: decode.Bool(r.query, "follow"), Stdout: decode.Bool(r.query, "stdout"), Stderr: decode.Bool(r.query, "stderr"), Tail: -1,
	}
	if !o.Stdout && !o.Stderr {
		return o, errdefs.ErrInvalidArgument.WithMessage("Bad parameters: you must choose at least one stream")
	}
	if n, err := strconv.Atoi(r.query.Get("tail")); err == nil && n >= 0 {
		o.Tail = n // anything else is "all", as with Docker
	}
	if o.Since, err = decode.Time(r.query, "since"); err != nil {
		return o, err
	}
	o.Until, err = decode.Time(r.query, "until")
	return o, err
}

func attachContainer(e outputs) handler {
	return func(w http.ResponseWriter, r *request) error {
		keys, err := stream.ParseKeys(r.query.Get("detachKeys"))
		if err != nil {
			return err
		}
		o := engine.AttachOptions{
			Stream: decode.Bool(r.query, "stream"), Logs: decode.Bool(r.query, "logs"), Stdin: decode.Bool(r.query, "stdin"),
			Stdout: decode.Bool(r.query, "stdout"), Stderr: decode.Bool(r.query, "stderr"),
		}
		a, err := e.Attach(r.Context(), r.name, o)
		if err != nil {
			return err
		}
		return join(w, r, a, stream.JoinOptions{Stdin: o.Stdin, TTY: a.TTY, DetachKeys: terminalKeys(a.TTY, keys)})
	}
}

// terminalKeys are the keys if a person types them.
func terminalKeys(tty bool, keys []byte) []byte {
	if !tty {
		return nil
	}
	return keys
}

// join takes the connection over and carries a until either side ends.
func join(w http.ResponseWriter, r *request, a *engine.Attached, o stream.JoinOptions) error {
	conn, err := stream.Hijack(w, r.Request, mediaType(r, a.TTY))
	if err != nil {
		if a.Stream != nil {
			a.Stream.Close()
		}
		return err
	}
	defer conn.Close()
	if a.Replay != nil {
		lw := &stream.LogWriter{W: conn, TTY: a.TTY}
		if err := a.Replay(r.Context(), lw.Write); err != nil && a.Stream != nil {
			a.Stream.Close()
			return nil // it is gone
		}
	}
	if a.Stream != nil {
		stream.Join(r.Context(), conn, a.Stream, o)
	}
	return nil
}

func waitContainer(e observer) handler {
	return func(w http.ResponseWriter, r *request) error {
		condition := container.WaitCondition(r.query.Get("condition"))
		answers, err := e.Wait(r.Context(), r.name, condition)
		if err != nil {
			return err
		}
		// "docker run" starts the container once it has this header.
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusOK)
		if err := http.NewResponseController(w).Flush(); err != nil {
			return nil // it is gone
		}
		select {
		case answer, ok := <-answers:
			if !ok {
				return errdefs.ErrUnavailable.WithMessage("the engine shuts down")
			}
			return json.NewEncoder(w).Encode(answer)
		case <-r.Context().Done():
			return r.Context().Err()
		}
	}
}
