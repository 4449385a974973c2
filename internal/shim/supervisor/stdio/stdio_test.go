package stdio

import (
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-containers/berth/internal/logs"
	"github.com/berth-containers/berth/internal/sys/fifo"
)

func TestSplit(t *testing.T) {
	long := strings.Repeat("x", logs.MaxLine)
	for _, row := range []struct {
		in, want string // pieces joined by |
		flush    bool
	}{
		{"", "", false},
		{"a\nb\n", "a\n|b\n", false},
		{"a\nb", "a\n", false},
		{"a\nb", "a\n|b", true},
		{"\n\n", "\n|\n", false},
		{long[1:] + "\n", long[1:] + "\n", false},
		{long + "\n", long + "\n", false},
		{long + "y\n", long + "|y\n", false},
		{long, long, false},
	} {
		messages, used := split(nil, []byte(row.in), logs.Stdout, row.flush)
		var got []string
		n := 0
		for _, m := range messages {
			got = append(got, string(m.Line))
			n += len(m.Line)
		}
		if s := strings.Join(got, "|"); s != row.want || n != used {
			t.Errorf("%.20q: %.20q, used %d", row.in, s, used)
		}
	}
}

func FuzzJournal(f *testing.F) {
	j := journal{logged: [2]int64{1, 2}, stream: logs.Stderr, from: 3, to: 4, before: logs.Mark{Inode: 5, Bytes: 6}, after: logs.Mark{Inode: 5, Bytes: 8}}
	f.Add(j.encode())
	f.Add(make([]byte, journalBytes))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != journalBytes {
			return
		}
		if j, err := decodeJournal(b); err == nil && string(j.encode()) != string(b) {
			t.Fatal("another journal")
		}
	})
}

// pipe returns a pump of a new pipe and the pipe's writing end.
func pipe(t *testing.T, dir string, hub *Hub, sink *Sink) (*Pump, *os.File) {
	t.Helper()
	path := filepath.Join(dir, "stdout")
	if err := fifo.Make(path); err != nil {
		t.Fatal(err)
	}
	r, err := fifo.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := fifo.OpenForProgram(path)
	if err != nil {
		t.Fatal(err)
	}
	return NewPump(r, logs.Stdout, false, hub, sink, NewBuffers()), w
}

// A client that hangs up is dropped; the others and the log miss nothing.
func TestClientThatGoes(t *testing.T) {
	dir, logDir := t.TempDir(), t.TempDir()
	c := logs.Config{Dir: logDir}
	sink, err := OpenSink(dir, c, slog.New(slog.DiscardHandler), logs.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	hub := NewHub(true)
	gone, goneClient := connect(t)
	stays, client := connect(t)
	hub.Add(gone)
	hub.Add(stays)
	gone.Open()
	stays.Open()
	goneClient.Close()

	pump, w := pipe(t, dir, hub, sink)
	go pump.Run()
	text := strings.Repeat("some words\n", 50_000)
	go func() {
		io.WriteString(w, text)
		w.Close()
	}()
	go func() {
		<-pump.drained
		hub.End()
	}()
	b, err := io.ReadAll(client)
	if err != nil || string(b) != text {
		t.Errorf("%d bytes of %d came: %v", len(b), len(text), err)
	}
	<-gone.Ended()
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	n := 0
	err = logs.Read(t.Context(), c, logs.ReadOptions{Tail: -1, Stdout: true}, func(m logs.Message) error {
		n += len(m.Line)
		return nil
	})
	if err != nil || n != len(text) {
		t.Errorf("%d bytes of %d logged: %v", n, len(text), err)
	}
}

func connect(t *testing.T) (*Stream, *net.UnixConn) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.DialUnix("unix", nil, l.Addr().(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); conn.Close() })
	s := NewStream(conn)
	s.Stdout = true
	return s, client
}
