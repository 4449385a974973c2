// Package wire is what the runtime and the init it started say to each other:
// frames over a socket that is closed by a successful execve.
//
// The runtime sends Config, Doors and Start (execute the program); the init answers
// with any number of Warning and Console, then Ready, and Failure at any time.
// The end of the stream without a Failure means that the program runs. Until
// Ready the init may Ask, and the runtime answers with Given or Failed.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/oci"
	"github.com/berth-containers/berth/internal/sys/process"
	"github.com/berth-containers/berth/internal/sys/seccomp"
)

// Descriptors of an init when it starts.
const (
	Control   = 3
	Self      = 4 // the init's own binary, which it executes
	Extra     = 5 // exec: the container's pidfd; create: a listening gate, if Config.Gate
	RootDir   = 6 // exec: the container's root directory, O_PATH
	Preserved = 7 // the first of Config.Preserved
)

// Kind is what a frame is.
type Kind byte

const (
	Start   Kind = 'S'
	Ready   Kind = 'R'
	Warning Kind = 'W'
	Console Kind = 'T' // with the pty's master as a descriptor
	Failed  Kind = 'E'
	Setup   Kind = 'C' // payload: Config
	Doors   Kind = 'D' // descriptors to enter the cgroups by; payload: how many
	Ask     Kind = 'A' // for a mount that needs the host's privileges; payload: its number
	Given   Kind = 'G' // the answer, with the mount as a descriptor; or Failed
	// Hooks asks the runtime to run its hooks of create, if Config.Hooks.Runtime;
	// the answer is the same without a payload.
	Hooks Kind = 'H'
	// Listener asks to pass its descriptor, a seccomp filter's listener, to the
	// agent at the socket that the payload names, with what follows a NUL byte;
	// the answer is the same without a payload.
	Listener Kind = 'L'
)

// maxFrame bounds what a peer makes us allocate: environments may be big.
const maxFrame = 16 << 20

// Config is what an init has to do.
type Config struct {
	// Exec joins the namespaces ExecFlags of the process behind Extra; without
	// it the container is made.
	Exec      bool
	ExecFlags int

	Process    *specs.Process
	Attributes process.Attributes
	Seccomp    *seccomp.Filter
	Listener   string // of a filter that notifies: the payload of a Listener frame
	Gate       bool
	// Preserved are the program's numbers for the descriptors from wire.Preserved
	// on, ascending; the first ListenFDs of them are sockets to listen on.
	Preserved []int
	ListenFDs int

	// User says that the namespaces are those of a user namespace that is not the
	// runtime's; the container is made as its UID and GID.
	User     bool
	UID, GID uint32
	// Joined says that the mount namespace was joined before the init started.
	Joined bool

	NewTime     bool
	TimeOffsets []TimeOffset

	Joins       []Join
	NewNet      bool
	NewCgroup   bool
	CgroupV2    bool
	Hostname    string
	Domainname  string
	Sysctl      []Sysctl
	Root        Root
	Hooks       ContainerHooks
	KeepKeyring bool // stay in the session keyring of the caller
}

// ContainerHooks are the hooks as the init sees them.
type ContainerHooks struct {
	Runtime                     bool // there are some of the runtime's
	Create, Start               []specs.Hook
	CreatingState, CreatedState string // JSON, but the pid
}

// UserEnv is set in the environment of an init whose user namespace has no map
// yet: who writes it may be a program that looks who the process belongs to.
const UserEnv = "BERTH_USER"

// TimeOffset is what a time namespace adds to a clock.
type TimeOffset struct {
	Clock    string
	Secs     int64
	Nanosecs uint32
}

// Offsets is how the kernel reads them.
func Offsets(offsets []TimeOffset) string {
	var text strings.Builder
	for _, o := range offsets {
		fmt.Fprintf(&text, "%s %d %d\n", o.Clock, o.Secs, o.Nanosecs)
	}
	return text.String()
}

// OffsetsOutOfRange says what is wrong with offsets that the kernel does not take.
func OffsetsOutOfRange(text string) string {
	return "linux.timeOffsets leads a clock below 0 or beyond what the kernel can count: " + strings.ReplaceAll(strings.TrimSpace(text), "\n", ", ")
}

// Sysctl is a kernel parameter.
type Sysctl struct{ Name, File, Value string }

// Join is a namespace to join by path.
type Join struct {
	Flag int
	Path string
}

// Root is what the init mounts.
type Root struct {
	Path        string // absolute; unused with Rootfs
	Rootfs      *oci.Rootfs
	Readonly    bool
	Propagation string
	Mounts      []specs.Mount
	Devices     []specs.LinuxDevice
	Masked      []string
	ReadOnly    []string
	// Mapped says that Rootfs is seen through the ID map of the user namespace:
	// the init asks for it.
	Mapped bool
	// Label is SELinux's for the filesystems that are made.
	Label string
	// NoPivot changes to the root by chroot, where pivot_root is impossible.
	NoPivot bool
	// InPlace attaches the root at Path, where hooks of the container look for it.
	InPlace bool
	// SharedPid says that the pid namespace is not the container's own.
	SharedPid bool
	// Inherited says that the mount namespace is the runtime's: nothing may change
	// there but what lies on Path.
	Inherited bool
}

// Cause sorts failures.
type Cause byte

const (
	Internal Cause = 'i'
	NotFound Cause = 'n'
	Denied   Cause = 'd'
	Invalid  Cause = 'v'
)

// Failure is an error as the init tells it.
type Failure struct {
	Cause   Cause
	Message string
}

func (f *Failure) Error() string { return f.Message }

// FailureOf returns err as a Failure.
func FailureOf(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return &Failure{Cause: f.Cause, Message: err.Error()}
	}
	return &Failure{Cause: Internal, Message: err.Error()}
}

// Payload and ParseFailure are each other's inverse.
func (f *Failure) Payload() []byte { return append([]byte{byte(f.Cause)}, f.Message...) }

// ParseFailure reads a Failed frame's payload.
func ParseFailure(p []byte) *Failure {
	if len(p) == 0 {
		return &Failure{Cause: Internal, Message: "the init ended without a reason"}
	}
	return &Failure{Cause: Cause(p[0]), Message: string(p[1:])}
}

// HeaderSize is what a frame begins with: its kind and the payload's length.
const HeaderSize = 5

// Header is the beginning of a frame with n bytes of payload.
func Header(k Kind, n int) []byte {
	return binary.LittleEndian.AppendUint32([]byte{byte(k)}, uint32(n))
}

// ParseHeader is Header's inverse.
func ParseHeader(h []byte) (Kind, int, error) {
	n := binary.LittleEndian.Uint32(h[1:HeaderSize])
	if n > maxFrame {
		return 0, 0, errors.New("frame is too big")
	}
	return Kind(h[0]), int(n), nil
}

// Write sends one frame.
func Write(w io.Writer, k Kind, payload []byte) error {
	_, err := w.Write(append(Header(k, len(payload)), payload...))
	return err
}

// Read receives one frame; io.EOF between frames is the end.
func Read(r io.Reader) (Kind, []byte, error) {
	var h [HeaderSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, err
	}
	k, n, err := ParseHeader(h[:])
	if err != nil {
		return 0, nil, err
	}
	p := make([]byte, n)
	_, err = io.ReadFull(r, p)
	return k, p, err
}

// AskPayload and ParseAsk are each other's inverse: the number of a mount.
func AskPayload(n int) []byte { return binary.AppendVarint(nil, int64(n)) }

// ParseAsk reads an Ask frame's payload.
func ParseAsk(p []byte) int {
	n, _ := binary.Varint(p)
	return int(n)
}
