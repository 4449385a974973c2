package terminal

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
)

// DefaultDetachKeys are ctrl-p, ctrl-q.
const DefaultDetachKeys = "ctrl-p,ctrl-q"

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
			return nil, badKeys(text)
		}
		key := name[0]
		if ctrl {
			if 'a' <= key && key <= 'z' {
				key -= 'a' - 'A'
			}
			if key < '@' || key > '_' {
				return nil, badKeys(text)
			}
			key -= '@'
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func badKeys(text string) error {
	return fmt.Errorf("invalid detach keys (%s) provided: write characters or ctrl-x, with commas between", text)
}

// watch passes on what it reads and notices the keys. The engine, which ends
// the stream when it reads them, does not say why a stream ended.
type watch struct {
	src  io.Reader
	keys []byte
	seen []byte // the last bytes, fewer than keys
	hit  atomic.Bool
}

func (w *watch) Read(p []byte) (int, error) {
	n, err := w.src.Read(p)
	for _, b := range p[:n] {
		w.seen = append(w.seen, b)
		if len(w.seen) > len(w.keys) {
			w.seen = w.seen[1:]
		}
		if len(w.keys) > 0 && string(w.seen) == string(w.keys) {
			w.hit.Store(true)
		}
	}
	return n, err
}
