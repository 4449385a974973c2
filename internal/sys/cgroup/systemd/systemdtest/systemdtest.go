// Package systemdtest is a systemd for tests: it answers on a socket of its own,
// records what it is asked for as text, and keeps no units. It reads and writes
// messages with a library that is not ours, so that both have to agree about the
// protocol.
package systemdtest

import (
	"bufio"
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

	"github.com/godbus/dbus/v5"
)

// Manager is the fake. Its fields are set before Start.
type Manager struct {
	State string           // of the system
	Order binary.ByteOrder // little endian if nil
	// Answer, if set, may refuse a call with the name of a D-Bus error.
	Answer func(member string) (errorName string)
	Result string // of jobs, "done" if empty
	// OnStart, if set, does what systemd would do with a unit's processes.
	OnStart func(unit string, properties map[string]any)

	mu    sync.Mutex
	calls []string
}

const (
	managerPath  = "/org/freedesktop/systemd1"
	managerIface = "org.freedesktop.systemd1.Manager"
)

// Start listens; the socket's path is returned.
func (f *Manager) Start(t *testing.T) (socket string) {
	t.Helper()
	if f.Order == nil {
		f.Order = binary.LittleEndian
	}
	if f.Result == "" {
		f.Result = "done"
	}
	socket = filepath.Join(t.TempDir(), "bus")
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
	return socket
}

func (f *Manager) serve(conn net.Conn) {
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

func (f *Manager) send(conn net.Conn, m *dbus.Message) {
	if len(m.Body) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(m.Body...))
	}
	if err := m.EncodeTo(conn, f.Order); err != nil && !errors.Is(err, syscall.EPIPE) { // the client may be gone
		panic(err)
	}
}

func (f *Manager) reply(conn net.Conn, m *dbus.Message) {
	member := m.Headers[dbus.FieldMember].Value().(string)
	f.record(member, m.Body)
	answer := &dbus.Message{Type: dbus.TypeMethodReply, Headers: map[dbus.HeaderField]dbus.Variant{dbus.FieldReplySerial: dbus.MakeVariant(m.Serial())}}
	name := ""
	if f.Answer != nil {
		name = f.Answer(member)
	}
	job := dbus.ObjectPath("/org/freedesktop/systemd1/job/7")
	switch {
	case name != "":
		answer.Type = dbus.TypeError
		answer.Headers[dbus.FieldErrorName] = dbus.MakeVariant(name)
		answer.Body = []any{"no: " + name}
	case member == "Get":
		answer.Body = []any{dbus.MakeVariant("252.30-1~deb12u2")}
		if m.Body[1] == "SystemState" {
			answer.Body = []any{dbus.MakeVariant(f.State)}
		}
	case member == "StartUnit":
		answer.Body = []any{job}
	case member == "Hello":
		answer.Body = []any{":1.5"}
	case member == "StartTransientUnit", member == "StopUnit":
		if f.OnStart != nil && member == "StartTransientUnit" {
			f.OnStart(m.Body[0].(string), propertiesOf(m.Body[2]))
		}
		answer.Body = []any{job}
		other := f.removed("/org/freedesktop/systemd1/job/6", "failed")
		f.send(conn, other) // somebody else's, and before the answer
		defer f.send(conn, f.removed(job, f.Result))
	}
	f.send(conn, answer)
}

func (f *Manager) removed(job dbus.ObjectPath, result string) *dbus.Message {
	return &dbus.Message{Type: dbus.TypeSignal, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath(managerPath)), dbus.FieldInterface: dbus.MakeVariant(managerIface), dbus.FieldMember: dbus.MakeVariant("JobRemoved"),
	}, Body: []any{uint32(7), job, "x.scope", result}}
}

// record keeps a call as a line for each property.
func (f *Manager) record(member string, body []any) {
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

func propertiesOf(list any) map[string]any {
	m := map[string]any{}
	for _, p := range list.([][]any) {
		m[p[0].(string)] = p[1].(dbus.Variant).Value()
	}
	return m
}

// String is the calls, a line each, and below each the properties.
func (f *Manager) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.calls, "\n")
}
