package systemd

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// fakeManager is a systemd on a socket of its own. It reads and writes messages
// with a library that is not ours, so that both have to agree about the protocol.
type fakeManager struct {
	order binary.ByteOrder
	// answer, if set, is asked before the call is carried out.
	answer func(member string) (errorName string)
	result string // of jobs

	mu    sync.Mutex
	calls []string
	units map[string]bool
}

func startFake(t *testing.T, f *fakeManager) Address {
	t.Helper()
	if f.order == nil {
		f.order = binary.LittleEndian
	}
	if f.result == "" {
		f.result = "done"
	}
	f.units = map[string]bool{}
	socket := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer conn.Close()
				f.serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		served.Wait()
	})
	return Address{socket, true}
}

func (f *fakeManager) serve(conn net.Conn) {
	in := bufio.NewReader(conn)
	var lines []string
	for len(lines) < 3 {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	if !slices.Equal(lines, []string{"\x00AUTH EXTERNAL", "DATA", "BEGIN"}) {
		_, _ = io.WriteString(conn, "REJECTED EXTERNAL\r\n")
		return
	}
	_, _ = io.WriteString(conn, "DATA\r\nOK 1234deadbeef\r\n")
	for {
		m, err := dbus.DecodeMessage(in)
		if err != nil {
			return
		}
		f.reply(conn, m)
	}
}

func (f *fakeManager) send(conn net.Conn, m *dbus.Message) {
	if len(m.Body) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(m.Body...))
	}
	if err := m.EncodeTo(conn, f.order); err != nil && !errors.Is(err, syscall.EPIPE) { // the client may be gone
		panic(err)
	}
}

func (f *fakeManager) reply(conn net.Conn, m *dbus.Message) {
	member := m.Headers[dbus.FieldMember].Value().(string)
	f.record(member, m.Body)
	answer := &dbus.Message{Type: dbus.TypeMethodReply, Headers: map[dbus.HeaderField]dbus.Variant{dbus.FieldReplySerial: dbus.MakeVariant(m.Serial())}}
	name := ""
	if f.answer != nil {
		name = f.answer(member)
	}
	job := dbus.ObjectPath("/org/freedesktop/systemd1/job/7")
	switch {
	case name != "":
		answer.Type = dbus.TypeError
		answer.Headers[dbus.FieldErrorName] = dbus.MakeVariant(name)
		answer.Body = []any{"no: " + name}
	case member == "Get":
		answer.Body = []any{dbus.MakeVariant("252.30-1~deb12u2")}
	case member == "Hello":
		answer.Body = []any{":1.5"}
	case member == "StartTransientUnit", member == "StopUnit":
		answer.Body = []any{job}
		other := f.removed("/org/freedesktop/systemd1/job/6", "failed")
		f.send(conn, other) // somebody else's, and before the answer
		defer f.send(conn, f.removed(job, f.result))
	}
	f.send(conn, answer)
}

func (f *fakeManager) removed(job dbus.ObjectPath, result string) *dbus.Message {
	return &dbus.Message{Type: dbus.TypeSignal, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath(managerPath)), dbus.FieldInterface: dbus.MakeVariant(managerIface), dbus.FieldMember: dbus.MakeVariant("JobRemoved"),
	}, Body: []any{uint32(7), job, "x.scope", result}}
}

// record keeps a call as a line for each property.
func (f *fakeManager) record(member string, body []any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.Contains([]string{"Hello", "AddMatch", "Subscribe", "Get"}, member) {
		return
	}
	words := []string{member}
	var props []string
	for _, v := range body {
		list, ok := v.([][]any)
		switch {
		case !ok:
			words = append(words, fmt.Sprint(v))
		default:
			for _, p := range list {
				props = append(props, fmt.Sprintf("  %v = %v", p[0], p[1].(dbus.Variant)))
			}
		}
	}
	f.calls = append(f.calls, strings.Join(words, " "))
	f.calls = append(f.calls, props...)
}

func (f *fakeManager) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.calls, "\n")
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func openFake(t *testing.T, f *fakeManager) *Manager {
	t.Helper()
	m, err := Open(limited(t), []Address{{"/nosuch", true}, startFake(t, f)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}
