package service

import (
	"encoding/json"
	"net/http"
	"sync"

	"github.com/moby/moby/api/types/jsonstream"
)

// lines are the messages of an answer, one JSON document each.
type lines struct {
	mu  sync.Mutex
	w   http.ResponseWriter
	enc *json.Encoder
}

// message has what older clients look for as well.
type message struct {
	jsonstream.Message
	Text string `json:"error,omitempty"`
}

func newLines(w http.ResponseWriter) *lines {
	w.Header().Set("Content-Type", "application/json")
	return &lines{w: w, enc: json.NewEncoder(w)}
}

func (l *lines) send(m message) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.enc.Encode(m); err != nil {
		return err
	}
	return http.NewResponseController(l.w).Flush()
}

func (l *lines) aux(id string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return l.send(message{Message: jsonstream.Message{ID: id, Aux: (*json.RawMessage)(&b)}})
}

func (l *lines) text(s string) error {
	return l.send(message{Message: jsonstream.Message{Stream: s}})
}

// fail ends the answer; a client that is gone misses it.
func (l *lines) fail(e *jsonstream.Error) {
	_ = l.send(message{Message: jsonstream.Message{Error: e}, Text: e.Message})
}
