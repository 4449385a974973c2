package dbus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"testing"

	godbus "github.com/godbus/dbus/v5"
)

// What we send is what another implementation reads.
func TestCallIsUnderstood(t *testing.T) {
	m := Method{"org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "X"}
	got, err := godbus.DecodeMessage(bytes.NewReader(call(7, m, []Value{String("ab"), Bool(true), Uint32(3), Uint64(4), Bytes{5}, Strings{"x", "yz"}, Uint32s{6, 7}, Auxiliary{},
		Pairs{Of: Uint64(0), List: []Pair{{"a", Uint64(1)}, {"bc", Uint64(2)}}}, Properties{{"P", Bool(false)}, {"Q", String("q")}}})))
	if err != nil {
		t.Fatal(err)
	}
	want := []any{"ab", true, uint32(3), uint64(4), []byte{5}, []string{"x", "yz"}, []uint32{6, 7}, [][]any{},
		[][]any{{"a", uint64(1)}, {"bc", uint64(2)}}, [][]any{{"P", godbus.MakeVariant(false)}, {"Q", godbus.MakeVariant("q")}}}
	if !reflect.DeepEqual(got.Body, want) {
		t.Errorf("%v\nwant\n%v", got.Body, want)
	}
	if got.Serial() != 7 || got.Headers[godbus.FieldMember].Value() != "X" || got.Headers[godbus.FieldDestination].Value() != m.Destination {
		t.Error(got)
	}
}

func reply(f interface{ Fatal(...any) }, order binary.ByteOrder, body ...any) []byte {
	m := &godbus.Message{Type: godbus.TypeMethodReply, Headers: map[godbus.HeaderField]godbus.Variant{godbus.FieldReplySerial: godbus.MakeVariant(uint32(9))}, Body: body}
	if len(body) > 0 {
		m.Headers[godbus.FieldSignature] = godbus.MakeVariant(godbus.SignatureOf(body...))
	}
	var b bytes.Buffer
	if err := m.EncodeTo(&b, order); err != nil {
		f.Fatal(err)
	}
	return b.Bytes()
}

func TestReadMessage(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		data := reply(t, order, "abc", uint64(1)<<40, true, byte(7), godbus.MakeVariant("252"), godbus.ObjectPath("/job/1"), []string{"x"}, "not reached")
		m, err := readMessage(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		want := []any{"abc", uint64(1) << 40, true, byte(7), "252", "/job/1"}
		if m.replyTo != 9 || m.kind != kindReturn || !reflect.DeepEqual(m.body, want) {
			t.Errorf("%+v, want %v", m, want)
		}
		for n := range len(data) {
			if _, err := readMessage(bytes.NewReader(data[:n])); err == nil {
				t.Errorf("%d of %d bytes are taken for a message", n, len(data))
			}
		}
	}
	if _, err := readMessage(bytes.NewReader(bytes.Repeat([]byte{0xff}, 100))); !errors.Is(err, errTorn) {
		t.Error(err)
	}
}

func FuzzReadMessage(f *testing.F) {
	f.Add(reply(f, binary.LittleEndian, "abc", uint32(5), godbus.MakeVariant("x")))
	f.Add(reply(f, binary.BigEndian))
	f.Add([]byte("l\x02\x01\x01\xff\xff\xff\x00\x01\x00\x00\x00\xff\xff\xff\x7f"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		for {
			if _, err := readMessage(r); err != nil {
				return
			}
			if n, _ := r.Seek(0, io.SeekCurrent); n < fixedHeader {
				t.Fatal("a message was read out of nothing")
			}
		}
	})
}
