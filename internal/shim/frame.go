package shim

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
)

// MaxFrame is the longest frame that is believed; the biggest honest one holds
// a specification with its seccomp profile.
const MaxFrame = 4 << 20

// A Method is what a request asks for. Each connection carries one request and
// its response; what follows is said at the method.
type Method string

// The methods.
const (
	MethodPing     Method = "ping"
	MethodStart    Method = "start"
	MethodExec     Method = "exec"
	MethodAttach   Method = "attach" // then raw bytes both ways
	MethodSignal   Method = "signal"
	MethodResize   Method = "resize"
	MethodPause    Method = "pause"
	MethodResume   Method = "resume"
	MethodList     Method = "list"
	MethodExits    Method = "exits" // then Exit frames one way, one empty frame back for each
	MethodRelease  Method = "release"
	MethodMounts   Method = "mounts"  // then one HoldFrame with the namespace
	MethodHold     Method = "hold"    // then HoldFrame frames both ways
	MethodDeposit  Method = "deposit" // then HoldFrame frames, first the shim's, then the engine's
	MethodShutdown Method = "shutdown"
)

// Request opens a connection.
type Request struct {
	Version int             `json:"version"`
	Method  Method          `json:"method"`
	Body    json.RawMessage `json:"body,omitempty"`
}

// Response answers a request.
type Response struct {
	Version int             `json:"version"`
	Error   *Error          `json:"error,omitempty"`
	Body    json.RawMessage `json:"body,omitempty"`
}

// Error is an error on its way from a shim to an engine; it keeps its kind.
type Error struct {
	Kind    string `json:"kind,omitempty"`
	Message string `json:"message"`
}

// Target names a container, or an exec in it, and what MethodSignal,
// MethodResize, MethodPause, MethodResume and MethodRelease need.
type Target struct {
	ID     string `json:"id"`
	ExecID string `json:"execId,omitempty"`
	Signal int    `json:"signal,omitempty"`
	Width  uint16 `json:"width,omitempty"`
	Height uint16 `json:"height,omitempty"`
}

// HoldFrame moves a descriptor between the shim and its second holder. First
// the holder sends what it kept for an earlier shim (Keep, with descriptor),
// ended by Done; then the shim sends Keep, with descriptor, and Drop. The holder
// answers each Drop with its Seq, after closing the descriptor.
type HoldFrame struct {
	Op  string `json:"op"` // HoldKeep, HoldDrop, HoldDone, HoldDropped
	Key string `json:"key,omitempty"`
	Seq uint64 `json:"seq,omitempty"`
}

// With MethodDeposit it moves one of the engine's own: first the shim sends what
// it has (Keep, with descriptor), ended by Done; then the engine sends Keep and
// Drop, which are not answered. A key begins with a container's ID and a slash.

// The operations of a HoldFrame.
const (
	HoldKeep    = "keep"
	HoldDrop    = "drop"
	HoldDone    = "done"
	HoldDropped = "dropped"
)

// WriteFrame writes v as one frame: a big-endian uint32 length, then JSON. It
// is one Write.
func WriteFrame(w io.Writer, v any) error {
	b, err := EncodeFrame(v)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// EncodeFrame returns v as one frame.
func EncodeFrame(v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode frame: %w", err)
	}
	if len(body) > MaxFrame {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("request of %d bytes is longer than %d", len(body), MaxFrame))
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body)))
	return append(b, body...), nil
}

// ReadFrame reads one frame into v; io.EOF if the connection ended before it.
func ReadFrame(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	return readBody(r, head, v)
}

func readBody(r io.Reader, head [4]byte, v any) error {
	n := binary.BigEndian.Uint32(head[:])
	if n > MaxFrame {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("frame of %d bytes is longer than %d", n, MaxFrame))
	}
	// It grows as bytes come, so a lie about the length costs no memory.
	body, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err != nil {
		return err
	}
	if len(body) < int(n) {
		return io.ErrUnexpectedEOF
	}
	if err := json.Unmarshal(body, v); err != nil {
		return errdefs.ErrInvalidArgument.WithMessage("decode frame: " + err.Error())
	}
	return nil
}

var kinds = []struct {
	name string
	is   error
	with func(string) error
}{
	{"notFound", errdefs.ErrNotFound, errdefs.ErrNotFound.WithMessage},
	{"alreadyExists", errdefs.ErrAlreadyExists, errdefs.ErrAlreadyExists.WithMessage},
	{"permissionDenied", errdefs.ErrPermissionDenied, errdefs.ErrPermissionDenied.WithMessage},
	{"invalidArgument", errdefs.ErrInvalidArgument, errdefs.ErrInvalidArgument.WithMessage},
	{"failedPrecondition", errdefs.ErrFailedPrecondition, errdefs.ErrFailedPrecondition.WithMessage},
	{"conflict", errdefs.ErrConflict, errdefs.ErrConflict.WithMessage},
	{"unavailable", errdefs.ErrUnavailable, errdefs.ErrUnavailable.WithMessage},
	{"notImplemented", errdefs.ErrNotImplemented, errdefs.ErrNotImplemented.WithMessage},
	{"resourceExhausted", errdefs.ErrResourceExhausted, errdefs.ErrResourceExhausted.WithMessage},
}

// NewError makes err ready to be sent.
func NewError(err error) *Error {
	for _, k := range kinds {
		if errors.Is(err, k.is) {
			return &Error{Kind: k.name, Message: err.Error()}
		}
	}
	return &Error{Message: err.Error()}
}

// Err is the error that was sent.
func (e *Error) Err() error {
	for _, k := range kinds {
		if e.Kind == k.name {
			return k.with(e.Message)
		}
	}
	return errors.New(e.Message)
}
