package server

import (
	"net/http"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"

	"github.com/berth-containers/berth/internal/api/decode"
	"github.com/berth-containers/berth/internal/api/stream"
	"github.com/berth-containers/berth/internal/engine"
	"github.com/berth-containers/berth/internal/logs"
)

func createExec(e execs) handler {
	return func(w http.ResponseWriter, r *request) error {
		var q container.ExecCreateRequest
		if err := decode.JSON(r.Request, &q); err != nil {
			return err
		}
		if _, err := stream.ParseKeys(q.DetachKeys); err != nil {
			return err
		}
		id, err := e.ExecCreate(r.Context(), r.name, q)
		if err != nil {
			return err
		}
		return writeJSON(w, r, http.StatusCreated, container.ExecCreateResponse{ID: id})
	}
}

func startExec(e execs) handler {
	return func(w http.ResponseWriter, r *request) error {
		var q container.ExecStartRequest
		if err := decode.OptionalJSON(r.Request, &q); err != nil {
			return err
		}
		made, err := e.ExecInspect(r.Context(), r.name)
		if err != nil {
			return err
		}
		keys, err := stream.ParseKeys(string(made.DetachKeys))
		if err != nil {
			return err
		}
		a, err := e.ExecStart(r.Context(), r.name, engine.ExecStartOptions{Detach: q.Detach, TTY: q.Tty, ConsoleSize: q.ConsoleSize})
		if err != nil {
			if !q.Detach && errdefs.IsInvalidArgument(err) {
				return sayInStream(w, r, made, err)
			}
			return err
		}
		if q.Detach || a == nil {
			return nil
		}
		return join(w, r, a, stream.JoinOptions{Stdin: made.OpenStdin, TTY: a.TTY, DetachKeys: terminalKeys(a.TTY, keys)})
	}
}

// sayInStream tells a client that a program could not be executed in the
// stream it waits for, as Docker does: the client then asks for the exit code,
// 126 or 127, where after an error status it would end with its own.
func sayInStream(w http.ResponseWriter, r *request, made container.ExecInspectResponse, cause error) error {
	tty := made.ProcessConfig != nil && made.ProcessConfig.Tty
	a := &engine.Attached{TTY: tty}
	conn, err := stream.Hijack(w, r.Request, mediaType(r, a.TTY))
	if err != nil {
		return err
	}
	defer conn.Close()
	lw := &stream.LogWriter{W: conn, TTY: a.TTY}
	_ = lw.Write(logs.Message{Stream: logs.Stdout, Line: []byte(cause.Error() + "\r\n")})
	return nil
}

func inspectExec(e execs) handler {
	return func(w http.ResponseWriter, r *request) error {
		x, err := e.ExecInspect(r.Context(), r.name)
		if err != nil {
			return err
		}
		return writeJSON(w, r, http.StatusOK, x)
	}
}

func resizeExec(e execs) handler {
	return func(_ http.ResponseWriter, r *request) error {
		width, height, err := terminalSize(r)
		if err != nil {
			return err
		}
		return e.ExecResize(r.Context(), r.name, width, height)
	}
}
