package dbus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// message is what was received.
type message struct {
	kind                     byte
	replyTo                  uint32
	iface, member, errorName string
	body                     []any
}

const (
	fixedHeader = 16 // with the length of the fields
	maxMessage  = 16 << 20
)

var errTorn = errors.New("a D-Bus message is torn")

func readMessage(r io.Reader) (m message, err error) {
	var head [fixedHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return m, err
	}
	var order binary.ByteOrder
	switch head[0] {
	case 'l':
		order = binary.LittleEndian
	case 'B':
		order = binary.BigEndian
	default:
		return m, fmt.Errorf("%w: byte order %q", errTorn, head[0])
	}
	body, fields := uint64(order.Uint32(head[4:])), uint64(order.Uint32(head[12:]))
	padded := (fields + 7) &^ 7
	if body+padded > maxMessage {
		return m, fmt.Errorf("%w: %d bytes", errTorn, body+padded)
	}
	data := make([]byte, fixedHeader+padded+body)
	copy(data, head[:])
	if _, err := io.ReadFull(r, data[fixedHeader:]); err != nil {
		return m, err
	}
	m.kind = head[1]
	signature, err := m.fields(decoder{order: order, b: data[:fixedHeader+fields], at: fixedHeader})
	if err != nil {
		return m, err
	}
	d := decoder{order: order, b: data[fixedHeader+padded:]}
	m.body = d.values(signature)
	return m, nil
}

func (m *message) fields(d decoder) (signature string, err error) {
	for d.align(8); d.at < len(d.b); d.align(8) {
		code := d.byte()
		value, ok := d.value(d.sign())
		if !ok {
			return "", errTorn
		}
		text, _ := value.(string)
		switch code {
		case fieldInterface:
			m.iface = text
		case fieldMember:
			m.member = text
		case fieldErrorName:
			m.errorName = text
		case fieldReplySerial:
			m.replyTo, _ = value.(uint32)
		case fieldSignature:
			signature = text
		}
	}
	return signature, nil
}

// decoder reads from b; it stops at the first thing that is not there, which ok
// tells.
type decoder struct {
	order binary.ByteOrder
	b     []byte
	at    int
	short bool
}

func (d *decoder) align(n int) { d.at = (d.at + n - 1) / n * n }

func (d *decoder) take(n int) []byte {
	if d.short || n < 0 || d.at > len(d.b) || n > len(d.b)-d.at {
		d.short = true
		return nil
	}
	d.at += n
	return d.b[d.at-n : d.at]
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	d.align(4)
	if b := d.take(4); b != nil {
		return d.order.Uint32(b)
	}
	return 0
}

func (d *decoder) string() string {
	s := string(d.take(int(d.uint32())))
	d.take(1)
	return s
}

func (d *decoder) sign() string {
	s := string(d.take(int(d.byte())))
	d.take(1)
	return s
}

// values reads the body up to the first type that is not basic.
func (d *decoder) values(signature string) (list []any) {
	for _, kind := range signature {
		v, ok := d.value(string(kind))
		if !ok {
			break
		}
		list = append(list, v)
	}
	return list
}

// value reads one value of a basic type, or a variant of one.
func (d *decoder) value(kind string) (v any, ok bool) {
	switch kind {
	case "y":
		v = d.byte()
	case "b":
		v = d.uint32() != 0
	case "u", "i", "h":
		v = d.uint32()
	case "t", "x", "d":
		d.align(8)
		if b := d.take(8); b != nil {
			v = d.order.Uint64(b)
		}
	case "s", "o":
		v = d.string()
	case "g":
		v = d.sign()
	case "v":
		inner := d.sign()
		if inner == "v" { // nothing here needs one in another
			return nil, false
		}
		return d.value(inner)
	default:
		return nil, false
	}
	return v, !d.short
}
