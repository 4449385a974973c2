// Package query reads what DNS clients ask and writes answers from what is known
// at hand (RFC 1035, EDNS of RFC 6891). It allocates nothing but the name, because a
// container may ask a hundred thousand times a second; an answer is the question
// and records of one shape that point back to it.
package query

import (
	"encoding/binary"
	"net/netip"
)

// Types and classes.
const (
	TypeA    = 1
	TypePTR  = 12
	TypeAAAA = 28
	typeOPT  = 41
	ClassIN  = 1
)

// Response codes.
const (
	Success       = 0
	FormatError   = 1
	ServerFailure = 2
	NameError     = 3
	NotImplement  = 4
	Refused       = 5
	badVersion    = 16
)

const (
	headerBytes = 12
	optBytes    = 11
	plainBytes  = 512 // over UDP without EDNS
	// mostBytes is the longest answer over UDP, whatever the client says it takes.
	mostBytes = 4096
	// ttl is that of local answers, in seconds: short, because a container that
	// is made anew has another address, and asking again costs little.
	ttl = 5
)

// Flag bits of the header's second word.
const (
	flagResponse  = 1 << 15
	flagTruncated = 1 << 9
	flagWant      = 1 << 8 // recursion desired
	flagHave      = 1 << 7 // recursion available
	flagNoCheck   = 1 << 4 // checking disabled
	opcodeMask    = 0xf << 11
)

// Query is one question.
type Query struct {
	Raw   []byte // the whole message
	Name  string // lower case, without the dot at the end; "" is the root
	Type  uint16
	Class uint16
	// Plain is false if a label has bytes that no name of ours has: a dot, or
	// what is not printable.
	Plain bool
	EDNS  bool
	// DNSSEC is EDNS's DO bit.
	DNSSEC bool

	flags uint16
	end   int // of the question in Raw
	size  int // that the client takes over UDP
}

// Parse reads a message. If it is no question that can be answered, refuse is
// what to send back; nothing is to be sent if that is empty.
func Parse(raw []byte) (q Query, refuse []byte, ok bool) {
	if len(raw) < headerBytes {
		return q, nil, false
	}
	q = Query{Raw: raw, flags: binary.BigEndian.Uint16(raw[2:]), size: plainBytes}
	questions, additional := binary.BigEndian.Uint16(raw[4:]), binary.BigEndian.Uint16(raw[10:])
	switch {
	case q.flags&flagResponse != 0:
		return q, nil, false // answering answers would go round for ever
	case q.flags&opcodeMask != 0:
		return q, q.bare(NotImplement), false
	case questions != 1 || !q.question():
		return q, q.bare(FormatError), false
	}
	records := binary.BigEndian.Uint16(raw[6:]) + binary.BigEndian.Uint16(raw[8:])
	if additional > 0 && records == 0 && !q.edns() {
		return q, q.Code(nil, badVersion), false
	}
	return q, nil, true
}

// question reads the name, its type and class.
func (q *Query) question() bool {
	var name [256]byte
	n, at := 0, headerBytes
	q.Plain = true
	for {
		if at >= len(q.Raw) {
			return false
		}
		label := int(q.Raw[at])
		at++
		if label == 0 {
			break
		}
		// A pointer (0xc0) has nothing to point to.
		if label > 63 || at+label > len(q.Raw) || n+label+1 > 254 {
			return false
		}
		for _, b := range q.Raw[at : at+label] {
			if b <= ' ' || b > '~' || b == '.' {
				q.Plain = false
			}
			if 'A' <= b && b <= 'Z' {
				b += 'a' - 'A'
			}
			name[n] = b
			n++
		}
		name[n] = '.'
		n++
		at += label
	}
	if at+4 > len(q.Raw) {
		return false
	}
	q.Name = string(name[:max(n-1, 0)])
	q.Type, q.Class = binary.BigEndian.Uint16(q.Raw[at:]), binary.BigEndian.Uint16(q.Raw[at+2:])
	q.end = at + 4
	return true
}

// edns reads the OPT record if it comes first, as every client sends it. It is
// false if the client speaks a version of EDNS that there is not.
func (q *Query) edns() bool {
	opt := q.Raw[q.end:]
	if len(opt) < optBytes || opt[0] != 0 || binary.BigEndian.Uint16(opt[1:]) != typeOPT {
		return true
	}
	q.EDNS, q.DNSSEC = true, opt[7]&0x80 != 0
	q.size = min(max(int(binary.BigEndian.Uint16(opt[3:])), plainBytes), mostBytes)
	return opt[6] == 0
}

// ID is the message's.
func (q *Query) ID() uint16 { return binary.BigEndian.Uint16(q.Raw) }

// Question is the name, type and class, as they were asked.
func (q *Query) Question() []byte { return q.Raw[headerBytes:q.end] }

// Size is how many bytes the client takes over UDP.
func (q *Query) Size() int { return q.size }

// Recursive is whether the client wants others to be asked.
func (q *Query) Recursive() bool { return q.flags&flagWant != 0 }

// NoCheck is the CD bit.
func (q *Query) NoCheck() bool { return q.flags&flagNoCheck != 0 }

// Options is whether EDNS carries more than its header, such as a cookie.
func (q *Query) Options() bool {
	return len(q.Raw) > q.end && (!q.EDNS || len(q.Raw) > q.end+optBytes)
}

// bare is a header alone.
func (q *Query) bare(code uint16) []byte {
	b := append([]byte(nil), q.Raw[:headerBytes]...)
	binary.BigEndian.PutUint16(b[2:], q.flags&(opcodeMask|flagWant|flagNoCheck)|flagResponse|flagHave|code)
	clear(b[4:])
	return b
}

// begin appends header and question of an answer.
func (q *Query) begin(out []byte, code, answers uint16, flags uint16) []byte {
	out = binary.BigEndian.AppendUint16(out, q.ID())
	out = binary.BigEndian.AppendUint16(out, q.flags&(flagWant|flagNoCheck)|flagResponse|flagHave|flags|code&0xf)
	out = binary.BigEndian.AppendUint16(out, 1)
	out = binary.BigEndian.AppendUint16(out, answers)
	out = binary.BigEndian.AppendUint16(out, 0)
	var additional uint16
	if q.EDNS {
		additional = 1
	}
	out = binary.BigEndian.AppendUint16(out, additional)
	return append(out, q.Question()...)
}

// finish appends the OPT record if the client sent one.
func (q *Query) finish(out []byte, code uint16) []byte {
	if !q.EDNS {
		return out
	}
	out = append(out, 0)
	out = binary.BigEndian.AppendUint16(out, typeOPT)
	out = binary.BigEndian.AppendUint16(out, mostBytes)
	var do byte
	if q.DNSSEC {
		do = 0x80
	}
	return append(out, byte(code>>4), 0, do, 0, 0, 0)
}

// Code appends an answer without records; Success says that the name exists and
// has none of that type.
func (q *Query) Code(out []byte, code uint16) []byte {
	return q.finish(q.begin(out, code, 0, 0), code)
}

// Truncated appends the answer that sends the client to TCP.
func (q *Query) Truncated(out []byte) []byte {
	return q.finish(q.begin(out, Success, 0, flagTruncated), Success)
}

// Addresses appends an answer with addresses, all IPv4 or all IPv6. Those that
// don't fit into limit bytes are left out and the answer says so.
func (q *Query) Addresses(out []byte, addrs []netip.Addr, limit int) []byte {
	each := 16
	if q.Type == TypeAAAA {
		each = 28
	}
	var flags uint16
	if room := max(limit-headerBytes-len(q.Question())-optBytes, 0) / each; len(addrs) > room {
		addrs, flags = addrs[:room], flagTruncated
	}
	out = q.begin(out, Success, uint16(len(addrs)), flags)
	for _, a := range addrs {
		out = q.record(out, uint16(each-12))
		if q.Type == TypeAAAA {
			b := a.As16()
			out = append(out, b[:]...)
		} else {
			b := a.As4()
			out = append(out, b[:]...)
		}
	}
	return q.finish(out, Success)
}

// Pointer appends an answer with a name, of printable labels.
func (q *Query) Pointer(out []byte, name string) []byte {
	out = q.begin(out, Success, 1, 0)
	data := appendName(nil, name)
	out = q.record(out, uint16(len(data)))
	return q.finish(append(out, data...), Success)
}

// record appends all of a record but its data.
func (q *Query) record(out []byte, length uint16) []byte {
	out = append(out, 0xc0, headerBytes) // the question's name
	out = binary.BigEndian.AppendUint16(out, q.Type)
	out = binary.BigEndian.AppendUint16(out, ClassIN)
	out = binary.BigEndian.AppendUint32(out, ttl)
	return binary.BigEndian.AppendUint16(out, length)
}

// appendName appends a name; an empty label, or one that is too long, is left
// out or cut, since it could not be sent.
func appendName(out []byte, name string) []byte {
	start := len(out)
	for len(name) > 0 {
		label := name
		for i := range len(name) {
			if name[i] == '.' {
				label = name[:i]
				break
			}
		}
		name = name[min(len(label)+1, len(name)):]
		label = label[:min(len(label), 63)]
		if label == "" || len(out)-start+len(label)+2 > 255 {
			continue
		}
		out = append(append(out, byte(len(label))), label...)
	}
	return append(out, 0)
}
