package shim

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/containerd/errdefs"
)

func TestFrames(t *testing.T) {
	var b bytes.Buffer
	want := Target{ID: "c1", ExecID: "e1", Signal: 15}
	if err := WriteFrame(&b, want); err != nil {
		t.Fatal(err)
	}
	whole := b.Bytes()
	var got Target
	if err := ReadFrame(bytes.NewReader(whole), &got); err != nil || got != want {
		t.Errorf("%+v %v", got, err)
	}
	for n := range whole {
		if err := ReadFrame(bytes.NewReader(whole[:n]), &got); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
	long := binary.BigEndian.AppendUint32(nil, MaxFrame+1)
	if err := ReadFrame(bytes.NewReader(long), &got); !errdefs.IsInvalidArgument(err) {
		t.Error("too long:", err)
	}
	if _, err := EncodeFrame(make([]byte, MaxFrame)); !errdefs.IsInvalidArgument(err) {
		t.Error("too long to send:", err)
	}
}

func TestErrorsKeepTheirKind(t *testing.T) {
	for _, k := range kinds {
		err := NewError(k.with("no such thing")).Err()
		if !errors.Is(err, k.is) || err.Error() != "no such thing" {
			t.Errorf("%s: %v", k.name, err)
		}
	}
	if err := NewError(errors.New("plain")).Err(); err.Error() != "plain" {
		t.Error(err)
	}
}

func FuzzFrame(f *testing.F) {
	whole, err := EncodeFrame(Request{Version: Version, Method: MethodList, Body: []byte(`{"id":"c1"}`)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:7])
	f.Add([]byte("\xff\xff\xff\xff{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Request
		if ReadFrame(bytes.NewReader(b), &r) != nil {
			return
		}
		again, err := EncodeFrame(r)
		if err != nil {
			t.Fatal(err)
		}
		var same Request
		if err := ReadFrame(bytes.NewReader(again), &same); err != nil || same.Method != r.Method || same.Version != r.Version {
			t.Fatalf("%+v became %+v: %v", r, same, err)
		}
	})
}
