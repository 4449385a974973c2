package packet

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is the kernel's.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

// Batch is room for datagrams that are read together and answered together. It
// is one goroutine's.
type Batch struct {
	size  int
	in    []byte
	peers []unix.RawSockaddrInet4
	iovs  []unix.Iovec
	heads []mmsghdr

	out     []byte // the answers, one behind the other
	answers []answer
	outIovs []unix.Iovec
	outHead []mmsghdr
	control []segment
	counts  []int // of answers in each message
	single  bool  // the kernel does not cut
}

// segment is the control message that has the kernel cut what it is given into
// datagrams of one size (UDP_SEGMENT, Linux 4.18): a peer that asks much at once
// is answered for the price of one.
type segment struct {
	unix.Cmsghdr
	bytes uint16
	_     [6]byte
}

// mostSegments the kernel makes of one message, and mostSegmented bytes.
const mostSegments, mostSegmented = 64, 60_000

type answer struct{ to, from, end int }

// NewBatch is room for count datagrams of up to size bytes.
func NewBatch(count, size int) *Batch {
	b := &Batch{
		size: size, in: make([]byte, count*size), peers: make([]unix.RawSockaddrInet4, count),
		iovs: make([]unix.Iovec, count), heads: make([]mmsghdr, count),
		outIovs: make([]unix.Iovec, count), outHead: make([]mmsghdr, count), control: make([]segment, count),
		answers: make([]answer, 0, count),
	}
	for i := range b.heads {
		b.iovs[i] = unix.Iovec{Base: &b.in[i*size]}
		b.iovs[i].SetLen(size)
		b.heads[i].hdr.Name = (*byte)(unsafe.Pointer(&b.peers[i]))
		b.heads[i].hdr.Iov = &b.iovs[i]
		b.heads[i].hdr.SetIovlen(1)
	}
	return b
}

// Receive reads what is there, up to the batch's count; 0 if nothing is. An
// answer to a datagram of an earlier Receive can no longer be given.
func (b *Batch) Receive(s *Socket) (n int, err error) {
	b.out, b.answers = b.out[:0], b.answers[:0]
	for i := range b.heads {
		b.heads[i].hdr.Namelen = unix.SizeofSockaddrInet4
	}
	err = s.do(func(fd int) error {
		r, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.heads[0])), uintptr(len(b.heads)), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			n = int(r)
			return nil
		case unix.EAGAIN, unix.EINTR:
			return nil
		}
		return errno
	})
	return n, err
}

// Packet is the i-th datagram that was received, good until the next Receive;
// whole is false if it was longer than there was room for.
func (b *Batch) Packet(i int) (p []byte, whole bool) {
	h := &b.heads[i]
	return b.in[i*b.size : i*b.size+int(h.len)], h.hdr.Flags&unix.MSG_TRUNC == 0
}

// From is where the i-th datagram came from.
func (b *Batch) From(i int) netip.AddrPort {
	peer := &b.peers[i]
	port := binary.NativeEndian.AppendUint16(nil, peer.Port)
	return netip.AddrPortFrom(netip.AddrFrom4(peer.Addr), binary.BigEndian.Uint16(port))
}

// Out is what to append an answer to, for Answer.
func (b *Batch) Out() []byte { return b.out }

// Answer has the peer of the i-th datagram sent what was appended to Out, if
// anything was.
func (b *Batch) Answer(i int, out []byte) {
	if from := len(b.out); len(out) > from {
		b.answers = append(b.answers, answer{i, from, len(out)})
	}
	b.out = out
}

// Send sends the answers. What the kernel has no room for is dropped, as a
// network does.
func (b *Batch) Send(s *Socket) error {
	if len(b.answers) == 0 {
		return nil
	}
	return s.do(func(fd int) error {
		for left := b.answers; len(left) > 0; {
			messages, counts := b.pack(left)
			n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&messages[0])), uintptr(len(messages)), unix.MSG_DONTWAIT, 0, 0)
			switch {
			case errno == unix.EINTR:
				continue
			case errno == unix.EBADF || errno == unix.ENOTSOCK:
				return errno
			case errno != 0 && counts[0] > 1 && (errno == unix.EINVAL || errno == unix.EIO):
				b.single = true
				continue
			case errno != 0:
				n = 1 // this peer's own fault: it is gone, or takes nothing
			}
			for _, count := range counts[:n] {
				left = left[count:]
			}
		}
		return nil
	})
}

// pack makes messages of answers, and says of how many each is: those that follow
// each other, go to one peer and have one size are one message.
func (b *Batch) pack(answers []answer) (messages []mmsghdr, counts []int) {
	b.counts = b.counts[:0]
	for len(answers) > 0 {
		first, n := answers[0], 1
		size := first.end - first.from
		for n < len(answers) && !b.single && n < mostSegments && (n+1)*size <= mostSegmented &&
			answers[n].end-answers[n].from == size && b.peers[answers[n].to] == b.peers[first.to] {
			n++
		}
		i := len(b.counts)
		b.outIovs[i] = unix.Iovec{Base: &b.out[first.from]}
		b.outIovs[i].SetLen(n * size)
		h := &b.outHead[i].hdr
		*h = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&b.peers[first.to])), Namelen: unix.SizeofSockaddrInet4, Iov: &b.outIovs[i]}
		h.SetIovlen(1)
		if n > 1 {
			c := &b.control[i]
			c.Level, c.Type, c.bytes = unix.SOL_UDP, unix.UDP_SEGMENT, uint16(size)
			c.SetLen(unix.CmsgLen(2))
			h.Control = (*byte)(unsafe.Pointer(c))
			h.SetControllen(int(unsafe.Sizeof(*c)))
		}
		b.counts = append(b.counts, n)
		answers = answers[n:]
	}
	return b.outHead[:len(b.counts)], b.counts
}
