package stream

import (
	"encoding/json"
	"net/http"
	"sync"

	"github.com/moby/moby/api/types/jsonstream"
)

// Lines answers with one JSON value a line, each sent at once. The status 200
// goes out with the first of them: until then an error can have its own.
type Lines struct {
	w       http.ResponseWriter
	mu      sync.Mutex
	started bool
	err     error
}

// NewLines answers on w.
func NewLines(w http.ResponseWriter) *Lines { return &Lines{w: w} }

// Started reports whether the status is out.
func (l *Lines) Started() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.started
}

// Start sends the header.
func (l *Lines) Start(contentType string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.start(contentType)
	return http.NewResponseController(l.w).Flush()
}

func (l *Lines) start(contentType string) {
	if !l.started {
		l.started = true
		l.w.Header().Set("Content-Type", contentType)
		l.w.WriteHeader(http.StatusOK)
	}
}

// Send sends one value; after an error it only repeats that.
func (l *Lines) Send(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return l.text(append(line, "\r\n"...))
}

// SendRecord is Send in the form of RFC 7464: a record separator goes before it.
func (l *Lines) SendRecord(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return l.text(append(append([]byte{0x1e}, line...), '\n'))
}

// text sends bytes that are a line.
func (l *Lines) text(line []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	l.start("application/json")
	if _, l.err = l.w.Write(line); l.err == nil {
		l.err = http.NewResponseController(l.w).Flush()
	}
	return l.err
}

// Message is one line of progress; Error repeats ErrorDetail's message for
// clients that read only that.
type Message struct {
	jsonstream.Message
	Text string `json:"error,omitempty"`
}

// Fail sends what went wrong after the status went out.
func (l *Lines) Fail(status int, err error) {
	_ = l.Send(Message{
		Message: jsonstream.Message{Error: &jsonstream.Error{Code: status, Message: err.Error()}},
		Text:    err.Error(),
	})
}
