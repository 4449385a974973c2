package dbus

import "encoding/binary"

// Value is an argument of a call.
type Value interface {
	signature() string
	encode(*encoder)
}

// The basic types, and the arrays and structures that systemd takes.
type (
	String  string
	Bool    bool
	Uint32  uint32
	Uint64  uint64
	Bytes   []byte
	Strings []string
	Uint32s []uint32
	// Pairs is an array of a string and a value of the type of Of.
	Pairs struct {
		Of   Value
		List []Pair
	}
	// Properties is an array of names and values of any type.
	Properties []Property
	// Auxiliary is the empty array of further units of a StartTransientUnit.
	Auxiliary struct{}
)

// Pair is one of Pairs.
type Pair struct {
	Name  string
	Value Value
}

// Property is a name and its value.
type Property struct {
	Name  string
	Value Value
}

func (String) signature() string     { return "s" }
func (Bool) signature() string       { return "b" }
func (Uint32) signature() string     { return "u" }
func (Uint64) signature() string     { return "t" }
func (Bytes) signature() string      { return "ay" }
func (Strings) signature() string    { return "as" }
func (Uint32s) signature() string    { return "au" }
func (p Pairs) signature() string    { return "a(s" + p.Of.signature() + ")" }
func (Properties) signature() string { return "a(sv)" }
func (Auxiliary) signature() string  { return "a(sa(sv))" }

// encoder writes little endian, each value at a multiple of its own size.
type encoder struct{ b []byte }

func (e *encoder) align(n int) {
	for len(e.b)%n != 0 {
		e.b = append(e.b, 0)
	}
}

func (e *encoder) uint32(n uint32) {
	e.align(4)
	e.b = binary.LittleEndian.AppendUint32(e.b, n)
}

func (e *encoder) string(s string) {
	e.uint32(uint32(len(s)))
	e.b = append(append(e.b, s...), 0)
}

func (e *encoder) sign(s string) { e.b = append(append(append(e.b, byte(len(s))), s...), 0) }

// array writes the length of what f writes, which begins at a multiple of align.
func (e *encoder) array(align int, f func()) {
	e.uint32(0)
	length := len(e.b) - 4
	e.align(align)
	start := len(e.b)
	f()
	binary.LittleEndian.PutUint32(e.b[length:], uint32(len(e.b)-start))
}

func (e *encoder) variant(v Value) {
	e.sign(v.signature())
	v.encode(e)
}

func (v String) encode(e *encoder) { e.string(string(v)) }
func (v Uint32) encode(e *encoder) { e.uint32(uint32(v)) }

func (v Bool) encode(e *encoder) {
	if v {
		e.uint32(1)
	} else {
		e.uint32(0)
	}
}

func (v Uint64) encode(e *encoder) {
	e.align(8)
	e.b = binary.LittleEndian.AppendUint64(e.b, uint64(v))
}

func (v Bytes) encode(e *encoder) { e.array(1, func() { e.b = append(e.b, v...) }) }

func (v Strings) encode(e *encoder) {
	e.array(4, func() {
		for _, s := range v {
			e.string(s)
		}
	})
}

func (v Uint32s) encode(e *encoder) {
	e.array(4, func() {
		for _, n := range v {
			e.uint32(n)
		}
	})
}

func (v Pairs) encode(e *encoder) {
	e.array(8, func() {
		for _, p := range v.List {
			e.align(8)
			e.string(p.Name)
			p.Value.encode(e)
		}
	})
}

func (v Properties) encode(e *encoder) {
	e.array(8, func() {
		for _, p := range v {
			e.align(8)
			e.string(p.Name)
			e.variant(p.Value)
		}
	})
}

func (Auxiliary) encode(e *encoder) { e.array(8, func() {}) }

// The kinds of messages and of header fields.
const (
	kindCall = iota + 1
	kindReturn
	kindError
	kindSignal
)

const (
	fieldPath = iota + 1
	fieldInterface
	fieldMember
	fieldErrorName
	fieldReplySerial
	fieldDestination
	fieldSender
	fieldSignature
)

const protocolVersion = 1

// call is a whole message.
func call(serial uint32, m Method, args []Value) []byte {
	var body encoder
	signature := ""
	for _, a := range args {
		signature += a.signature()
		a.encode(&body)
	}
	e := encoder{b: []byte{'l', kindCall, 0, protocolVersion}}
	e.uint32(uint32(len(body.b)))
	e.uint32(serial)
	e.array(8, func() {
		for _, f := range []struct {
			code        byte
			kind, value string
		}{
			{fieldPath, "o", m.Path}, {fieldInterface, "s", m.Interface}, {fieldMember, "s", m.Member},
			{fieldDestination, "s", m.Destination}, {fieldSignature, "g", signature},
		} {
			if f.value == "" {
				continue
			}
			e.align(8)
			e.b = append(e.b, f.code)
			e.sign(f.kind)
			if f.kind == "g" {
				e.sign(f.value)
			} else {
				e.string(f.value)
			}
		}
	})
	e.align(8)
	return append(e.b, body.b...)
}
