package stream

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/containerd/errdefs"
)

func TestParseKeys(t *testing.T) {
	for text, want := range map[string]string{
		"": "\x10\x11", "ctrl-p,ctrl-q": "\x10\x11", "ctrl-@": "\x00", "ctrl-[,x": "\x1bx", "ctrl-_": "\x1f", "a,b": "ab", "ctrl-A": "\x01",
	} {
		if got, err := ParseKeys(text); err != nil || string(got) != want {
			t.Errorf("%s: %q %v", text, got, err)
		}
	}
	for _, text := range []string{"ctrl-", "ctrl-1", "ab", ",", "a,,b", "ctrl-pq"} {
		if got, err := ParseKeys(text); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %q %v", text, got, err)
		}
	}
}

func TestEscape(t *testing.T) {
	for _, row := range []struct {
		keys, in, out string
		detached      bool
	}{
		{"\x10\x11", "plain", "plain", false},
		{"\x10\x11", "a\x10\x11b", "a", true},
		{"\x10\x11", "a\x10b\x10\x10\x11", "a\x10b\x10", true},
		{"\x10\x11", "end\x10", "end\x10", false},
		{"aab", "aaab", "a", true},
		{"aab", "aaaac", "aaaac", false},
		{"abab", "ababab", "", true},
		{"x", "x", "", true},
	} {
		for name, src := range map[string]io.Reader{"whole": strings.NewReader(row.in), "bytes": iotest.OneByteReader(strings.NewReader(row.in))} {
			got, err := io.ReadAll(&escape{src: src, keys: []byte(row.keys)})
			if string(got) != row.out || errors.Is(err, errDetached) != row.detached {
				t.Errorf("%q in %q, %s: %q %v", row.keys, row.in, name, got, err)
			}
		}
	}
}

// Nothing is lost or added, however the input is cut.
func FuzzEscape(f *testing.F) {
	f.Add([]byte("aab"), []byte("aaaabaac"))
	f.Add([]byte("\x10\x11"), []byte("a\x10\x10\x11"))
	f.Fuzz(func(t *testing.T, keys, in []byte) {
		if len(keys) == 0 {
			return
		}
		want, _, detached := bytes.Cut(in, keys)
		got, err := io.ReadAll(&escape{src: iotest.OneByteReader(bytes.NewReader(in)), keys: keys})
		if !bytes.Equal(got, want) || errors.Is(err, errDetached) != detached {
			t.Errorf("%q in %q: %q %v", keys, in, got, err)
		}
	})
}

func FuzzParseKeys(f *testing.F) {
	f.Add("ctrl-p,ctrl-q")
	f.Fuzz(func(t *testing.T, text string) {
		if keys, err := ParseKeys(text); err == nil && len(keys) == 0 {
			t.Errorf("%q has no keys", text)
		}
	})
}
