package server

import (
	"net/http"

	"github.com/berth-containers/berth/internal/api/decode"
	"github.com/berth-containers/berth/internal/api/stream"
	"github.com/berth-containers/berth/internal/engine"
)

// attachSocket is attachContainer over a websocket, on which output and errors
// are one stream without frames.
func attachSocket(e outputs) handler {
	return func(w http.ResponseWriter, r *request) error {
		keys, err := stream.ParseKeys(r.query.Get("detachKeys"))
		if err != nil {
			return err
		}
		all := r.version.Before("1.42") // which streams was not asked then
		o := engine.AttachOptions{
			Stream: decode.Bool(r.query, "stream"), Logs: decode.Bool(r.query, "logs"), Stdin: all || decode.Bool(r.query, "stdin"),
			Stdout: all || decode.Bool(r.query, "stdout"), Stderr: all || decode.Bool(r.query, "stderr"),
		}
		a, err := e.Attach(r.Context(), r.name, o)
		if err != nil {
			return err
		}
		if a.Stream != nil {
			defer a.Stream.Close()
		}
		socket, err := stream.Upgrade(w, r.Request, r.version.Before("1.28"))
		if err != nil {
			return err
		}
		defer socket.Close()
		if a.Replay != nil {
			lw := &stream.LogWriter{W: socket, TTY: true}
			if err := a.Replay(r.Context(), lw.Write); err != nil {
				return nil // it is gone
			}
		}
		if a.Stream != nil {
			stream.JoinSocket(r.Context(), socket, a.Stream, stream.JoinOptions{Stdin: o.Stdin, TTY: a.TTY, DetachKeys: terminalKeys(a.TTY, keys)})
		}
		return nil
	}
}
