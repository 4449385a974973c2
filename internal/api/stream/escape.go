package stream

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/errdefs"
)

// DefaultDetachKeys are ctrl-p, ctrl-q.
const DefaultDetachKeys = "ctrl-p,ctrl-q"

var errDetached = errors.New("detached")

// ParseKeys reads "ctrl-p,ctrl-q": single characters, or ctrl- with a letter
// or one of @ [ \ ] ^ _. "" are the default keys.
func ParseKeys(text string) ([]byte, error) {
	if text == "" {
		text = DefaultDetachKeys
	}
	var keys []byte
	for _, word := range strings.Split(text, ",") {
		name, ctrl := strings.CutPrefix(word, "ctrl-")
		if len(name) != 1 {
			return nil, badKeys(text, word)
		}
		key := name[0]
		if ctrl {
			if 'a' <= key && key <= 'z' {
				key -= 'a' - 'A'
			}
			if key < '@' || key > '_' {
				return nil, badKeys(text, word)
			}
			key -= '@'
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func badKeys(text, word string) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
		"Invalid detach keys (%s) provided: %q is neither a character nor ctrl- and one of a-z @ [ \\ ] ^ _", text, word))
}

// escape passes on what it reads until it has read the keys: errDetached. Keys
// that may be the beginning of it are held back until that is certain.
type escape struct {
	src  io.Reader
	keys []byte
	held int    // of keys
	out  []byte // to be passed on
	err  error
}

func (e *escape) Read(p []byte) (int, error) {
	for len(e.out) == 0 && e.err == nil {
		n, err := e.src.Read(p)
		e.take(p[:n])
		if err != nil && e.err == nil {
			e.release()
			e.err = err
		}
	}
	if len(e.out) > 0 {
		n := copy(p, e.out)
		e.out = e.out[n:]
		return n, nil
	}
	return 0, e.err
}

func (e *escape) take(p []byte) {
	e.out = e.out[:0]
	for _, b := range p {
		if b != e.keys[e.held] {
			e.mismatch(b)
			continue
		}
		if e.held++; e.held == len(e.keys) {
			e.held, e.err = 0, errDetached
			return
		}
	}
}

// mismatch passes on as much of what is held, and b, as cannot be the
// beginning of the keys.
func (e *escape) mismatch(b byte) {
	pending := append(bytes.Clone(e.keys[:e.held]), b)
	for from := range pending {
		if bytes.HasPrefix(e.keys, pending[from:]) {
			e.out = append(e.out, pending[:from]...)
			e.held = len(pending) - from
			return
		}
	}
	e.out = append(e.out, pending...)
	e.held = 0
}

func (e *escape) release() {
	e.out = append(e.out, e.keys[:e.held]...)
	e.held = 0
}
