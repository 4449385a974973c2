package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

var drivers = []string{DriverRing, DriverJSONFile}

// each runs f for each driver that keeps files.
func each(t *testing.T, opts map[string]string, f func(*testing.T, Config)) {
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) { f(t, Config{Driver: driver, Dir: t.TempDir(), Opts: opts}) })
	}
}

func open(t *testing.T, c Config) *Writer {
	t.Helper()
	w, err := NewWriter(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// second returns a time that is n seconds after an epoch of the tests.
func second(n int) time.Time { return time.Unix(1_700_000_000+int64(n), 5).UTC() }

// write appends lines first to last, one a second; every third is stderr's.
func write(t *testing.T, w *Writer, first, last int) {
	t.Helper()
	for i := first; i <= last; i++ {
		stream := Stdout
		if i%3 == 0 {
			stream = Stderr
		}
		if err := w.Append(Message{Stream: stream, Time: second(i), Line: fmt.Appendf(nil, "line %d\n", i)}); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, c Config, o ReadOptions) string {
	t.Helper()
	var out []string
	err := Read(context.Background(), c, o, func(m Message) error {
		out = append(out, strings.TrimSuffix(strings.TrimPrefix(string(m.Line), "line "), "\n"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}

var all = ReadOptions{Tail: -1, Stdout: true, Stderr: true}

func TestRead(t *testing.T) {
	each(t, nil, func(t *testing.T, c Config) {
		write(t, open(t, c), 1, 9)
		for _, row := range []struct {
			name string
			o    ReadOptions
			want string
		}{
			{"all", all, "1 2 3 4 5 6 7 8 9"},
			{"stdout", ReadOptions{Tail: -1, Stdout: true}, "1 2 4 5 7 8"},
			{"stderr", ReadOptions{Tail: -1, Stderr: true}, "3 6 9"},
			{"neither", ReadOptions{Tail: -1}, ""},
			{"tail", ReadOptions{Tail: 2, Stdout: true, Stderr: true}, "8 9"},
			{"tail of one stream", ReadOptions{Tail: 2, Stderr: true}, "6 9"},
			{"tail 0", ReadOptions{Stdout: true, Stderr: true}, ""},
			{"tail beyond", ReadOptions{Tail: 99, Stdout: true, Stderr: true}, "1 2 3 4 5 6 7 8 9"},
			{"since", ReadOptions{Tail: -1, Since: second(7), Stdout: true, Stderr: true}, "7 8 9"},
			{"until", ReadOptions{Tail: -1, Until: second(3), Stdout: true, Stderr: true}, "1 2 3"},
			{"tail until", ReadOptions{Tail: 2, Until: second(4), Stdout: true, Stderr: true}, "3 4"},
			{"between", ReadOptions{Tail: -1, Since: second(4), Until: second(5), Stdout: true, Stderr: true}, "4 5"},
		} {
			if got := read(t, c, row.o); got != row.want {
				t.Errorf("%s: %q, want %q", row.name, got, row.want)
			}
		}
	})
}

// The end of a long segment is found from behind.
func TestTailOfLongSegment(t *testing.T) {
	each(t, nil, func(t *testing.T, c Config) {
		w := open(t, c)
		write(t, w, 1, 30_000)
		for _, n := range []int{1, 10, 2000, 29_999} {
			o := all
			o.Tail = n
			got := strings.Fields(read(t, c, o))
			if len(got) != n || got[0] != fmt.Sprint(30_001-n) {
				t.Errorf("tail %d: %d lines from %s", n, len(got), got[0])
			}
		}
		r := reader{format: w.format, dir: c.Dir, options: ReadOptions{Tail: 10, Stdout: true, Stderr: true}}
		defer r.close()
		if _, err := r.seek(); err != nil || r.cursor.offset < w.mark.Bytes-(64<<10) {
			t.Errorf("read from %d of %d: %v", r.cursor.offset, w.mark.Bytes, err)
		}
	})
}

func TestSinceSkipsSegments(t *testing.T) {
	each(t, map[string]string{"max-size": "32k", "max-file": "90"}, func(t *testing.T, c Config) {
		write(t, open(t, c), 1, 3000)
		for _, first := range []int{1, 1500, 2999} {
			o := all
			o.Since = second(first)
			if got := strings.Fields(read(t, c, o)); got[0] != fmt.Sprint(first) || len(got) != 3001-first {
				t.Errorf("since %d: %d lines from %s", first, len(got), got[0])
			}
		}
	})
}

func TestRotation(t *testing.T) {
	each(t, map[string]string{"max-size": "32k", "max-file": "3"}, func(t *testing.T, c Config) {
		w := open(t, c)
		write(t, w, 1, 5000)
		entries, err := os.ReadDir(c.Dir)
		if err != nil || len(entries) != 3 {
			t.Errorf("%d files, want 3: %v", len(entries), err)
		}
		for _, e := range entries {
			if info, err := e.Info(); err != nil || info.Size() > 32<<10 {
				t.Errorf("%s has %d bytes: %v", e.Name(), info.Size(), err)
			}
		}
		got := strings.Fields(read(t, c, all))
		for i, n := range got {
			if want := fmt.Sprint(5000 - len(got) + 1 + i); n != want {
				t.Fatalf("line %s, want %s", n, want)
			}
		}
		if len(got) < 700 {
			t.Errorf("only %d lines are left", len(got))
		}
		if got := read(t, c, ReadOptions{Tail: 700, Stdout: true, Stderr: true}); !strings.HasPrefix(got, "4301 4302 ") {
			t.Errorf("tail over segments starts with %.20q", got)
		}
	})
}

// A follower sees each line once, in order, over rotations.
func TestFollow(t *testing.T) {
	each(t, map[string]string{"max-size": "32k", "max-file": "900"}, func(t *testing.T, c Config) {
		const lines = 8000
		w := open(t, c)
		write(t, w, 1, 100)
		o := all
		o.Follow = true
		done := make(chan struct{})
		o.Done = done
		seen := make(chan struct{})
		got := 0
		result := make(chan error, 1)
		go func() {
			result <- Read(context.Background(), c, o, func(m Message) error {
				got++
				if want := fmt.Sprintf("line %d\n", got); string(m.Line) != want {
					return fmt.Errorf("line %q, want %q", m.Line, want)
				}
				if got == 50 {
					close(seen)
				}
				return nil
			})
		}()
		<-seen
		write(t, w, 101, lines)
		close(done)
		if err := <-result; err != nil || got != lines {
			t.Errorf("%d lines of %d: %v", got, lines, err)
		}
	})
}

func TestFollowEndsWithContextAndWithUntil(t *testing.T) {
	each(t, nil, func(t *testing.T, c Config) {
		write(t, open(t, c), 1, 3)
		ctx, cancel := context.WithCancel(context.Background())
		o := all
		o.Follow = true
		err := Read(ctx, c, o, func(Message) error { cancel(); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Error("cancelled:", err)
		}
		o.Until = second(2)
		if got := read(t, c, o); got != "1 2" {
			t.Errorf("until: %q", got)
		}
	})
}

// Whatever part of the last write a crash leaves, the lines before it stay and
// what comes after is read.
func TestTornEntry(t *testing.T) {
	each(t, nil, func(t *testing.T, c Config) {
		w := open(t, c)
		write(t, w, 1, 2)
		whole := w.mark.Bytes
		write(t, w, 3, 3)
		path := Path(c)
		full, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for size := whole; size < int64(len(full)); size++ {
			if err := os.WriteFile(path, full[:size], 0o600); err != nil {
				t.Fatal(err)
			}
			if got := read(t, c, all); got != "1 2" {
				t.Fatalf("cut at %d: %q", size, got)
			}
			write(t, open(t, c), 4, 4)
			if got := read(t, c, all); got != "1 2 4" {
				t.Fatalf("cut at %d, appended: %q", size, got)
			}
		}
	})
}

// Damage in the middle costs at most the rest of its segment.
func TestDamage(t *testing.T) {
	each(t, nil, func(t *testing.T, c Config) {
		w := open(t, c)
		write(t, w, 1, 3)
		path := Path(c)
		full, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		copy(full[bytes.Index(full, []byte("line 3")):], "\x00\"}")
		if err := os.WriteFile(path, full, 0o600); err != nil {
			t.Fatal(err)
		}
		write(t, open(t, c), 4, 5)
		if got := read(t, c, all); got != "1 2 4 5" {
			t.Errorf("%q", got)
		}
	})
}

func TestRecover(t *testing.T) {
	each(t, nil, func(t *testing.T, c Config) {
		w := open(t, c)
		write(t, w, 1, 2)
		batch := []Message{{Stream: Stdout, Time: second(3), Line: []byte("three\n")}, {Stream: Stdout, Time: second(3), Line: []byte("four!\n")}}
		before, after, err := w.Prepare(batch)
		if err != nil {
			t.Fatal(err)
		}
		check := func(name string, bytes int64, all bool) {
			t.Helper()
			n, done, err := open(t, c).Recover(before, after)
			if err != nil || done != all || !all && n != bytes {
				t.Errorf("%s: %d %v %v, want %d %v", name, n, done, err, bytes, all)
			}
		}
		check("nothing", 0, false)
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
		check("all", 0, true)
		if err := os.Truncate(Path(c), after.Bytes-3); err != nil {
			t.Fatal(err)
		}
		check("half", int64(len("three\n")), false)
	})
}

func TestBytesSurvive(t *testing.T) {
	each(t, nil, func(t *testing.T, c Config) {
		w := open(t, c)
		lines := []string{"tab\t quote\" back\\ \x01\x1b[0m <&> ü \u2028\n", "no newline"}
		for _, line := range lines {
			if err := w.Append(Message{Stream: Stderr, Time: second(1), Line: []byte(line)}); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		err := Read(context.Background(), c, all, func(m Message) error {
			if !m.Time.Equal(second(1)) || m.Stream != Stderr {
				t.Errorf("%+v", m)
			}
			got = append(got, string(m.Line))
			return nil
		})
		if err != nil || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", lines) {
			t.Errorf("%q %v", got, err)
		}
	})
}

func TestJSONFormat(t *testing.T) {
	got := jsonFormat{}.append(nil, Message{Stream: Stdout, Time: time.Unix(1, 20).UTC(), Line: []byte("a\xff<b>\n")})
	want := `{"log":"a\ufffd\u003cb\u003e\n","stream":"stdout","time":"1970-01-01T00:00:01.00000002Z"}` + "\n"
	if string(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestValidate(t *testing.T) {
	for _, row := range []struct {
		driver, name, value string
		ok                  bool
	}{
		{"", "", "", true},
		{"ring", "max-size", "10m", true},
		{"json-file", "max-size", "-1", true},
		{"none", "", "", true},
		{"journald", "", "", false},
		{"none", "max-size", "1m", false},
		{"ring", "max-size", "-1", false},
		{"ring", "max-size", "0", false},
		{"ring", "tag", "x", false},
		{"local", "compress", "true", true},
		{"json-file", "tag", "x", true},
		{"json-file", "labels", "a,b", true},
		{"ring", "max-file", "0", false},
		{"ring", "max-file", "many", false},
		{"ring", "colour", "red", false},
		{"json-file", "max-file", "3", true},
		{"json-file", "compress", "false", true},
		{"json-file", "compress", "true", true},
		{"json-file", "compress", "much", false},
	} {
		opts := map[string]string{}
		if row.name != "" {
			opts[row.name] = row.value
		}
		err := Validate(row.driver, opts)
		if (err == nil) != row.ok || err != nil && !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s %s=%s: %v", row.driver, row.name, row.value, err)
		}
	}
}

func TestNoneKeepsNothing(t *testing.T) {
	c := Config{Driver: DriverNone}
	write(t, open(t, c), 1, 3)
	if err := Read(context.Background(), c, all, nil); err == nil {
		t.Error("a log that is not kept was read")
	}
}

func TestAttributes(t *testing.T) {
	c := Config{Driver: DriverJSONFile, Dir: t.TempDir(), Attrs: map[string]string{"tag": "a<b"}}
	write(t, open(t, c), 1, 1)
	text, err := os.ReadFile(Path(c))
	if want := `{"log":"line 1\n","stream":"stdout","attrs":{"tag":"a\u003cb"},"time":"`; err != nil || !strings.HasPrefix(string(text), want) {
		t.Errorf("%s %v", text, err)
	}
	err = Read(t.Context(), c, all, func(m Message) error {
		if m.Attrs["tag"] != "a<b" || string(m.Line) != "line 1\n" {
			t.Errorf("%+v", m)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A time in a long segment is found without reading what is before it.
func TestSeekTime(t *testing.T) {
	each(t, nil, func(t *testing.T, c Config) {
		w := open(t, c)
		write(t, w, 1, 30_000)
		for _, n := range []int{1, 2, 15_000, 29_999, 30_000, 30_001} {
			o := all
			o.Since = second(n)
			got := strings.Fields(read(t, c, o))
			if want := 30_001 - n; len(got) != want || want > 0 && got[0] != fmt.Sprint(n) {
				t.Errorf("since %d: %d lines %.40v", n, len(got), got)
			}
		}
		r := reader{format: w.format, dir: c.Dir, options: ReadOptions{Since: second(25_000)}}
		defer r.close()
		segments, err := w.format.list(c.Dir)
		if err == nil {
			err = r.seekTime(segments)
		}
		info, _ := r.cursor.file.Stat()
		if at := float64(r.cursor.offset) / float64(info.Size()); err != nil || at < 0.5 || at > 25./30 {
			t.Errorf("reading begins at %.2f of the segment: %v", at, err)
		}
	})
}

func FuzzRing(f *testing.F) { fuzz(f, ringFormat{}) }

func FuzzJSON(f *testing.F) { fuzz(f, jsonFormat{}) }

// fuzz decodes foreign bytes, and checks that what decodes encodes again.
func fuzz(f *testing.F, format format) {
	one := format.append(nil, Message{Stream: Stdout, Time: second(1), Line: []byte("line\n")})
	f.Add(one)
	f.Add(format.append(one, Message{Stream: Stderr, Time: second(2), Line: []byte("\xffpart")}))
	f.Add(one[:len(one)-3])
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			m, n, err := format.next(b)
			if n < 0 || n > len(b) {
				t.Fatal("length", n)
			}
			if n == 0 {
				return
			}
			if err == nil && m.Time.Year() >= 1678 && m.Time.Year() < 2262 {
				again, _, err := format.next(format.append(nil, m))
				if err != nil || !bytes.Equal(again.Line, m.Line) || again.Stream != m.Stream || !again.Time.Equal(m.Time) {
					t.Fatalf("%+v became %+v: %v", m, again, err)
				}
			}
			b = b[n:]
		}
	})
}

// Entries that are too long for the window of the search are not skipped.
func TestSinceFindsLongEntries(t *testing.T) {
	each(t, nil, func(t *testing.T, c Config) {
		const last = 40
		w := open(t, c)
		line := bytes.Repeat([]byte{1}, MaxLine) // six bytes each in JSON
		for i := 1; i <= last; i++ {
			if err := w.Append(Message{Stream: Stdout, Time: second(i), Line: line}); err != nil {
				t.Fatal(err)
			}
		}
		for first := 1; first <= last; first++ {
			o, n := all, 0
			o.Since = second(first)
			if err := Read(t.Context(), c, o, func(Message) error { n++; return nil }); err != nil || n != last+1-first {
				t.Errorf("since %d: %d entries, want %d: %v", first, n, last+1-first, err)
			}
		}
	})
}
