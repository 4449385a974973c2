package gunzip

import (
	"encoding/binary"
	"io"
)

const (
	window   = 32 << 10 // how far back a match may reach
	outBytes = 96 << 10 // that are decoded before they are taken
	longest  = 258      // of a match
	slack    = 16       // what is written beyond a match, and read beyond a symbol
	inBytes  = 64 << 10
)

// inflater decodes one DEFLATE stream after the other (RFC 1951).
type inflater struct {
	src  io.Reader
	fail error // of src
	read int64 // from src

	in       [inBytes + slack]byte
	pos, end int

	bits uint64 // read from in and not used yet, the next one lowest
	n    uint   // how many of them: between symbols less than 8

	out   [window + outBytes + longest + slack]byte
	given int // out[given:made] is to be taken
	made  int
	start int // the member's first byte in out, or 0: what was before is no history

	last   bool // block
	state  state
	err    error
	stored int  // bytes left of a stored block
	common bool // the tables are those of the blocks without their own
	lit    litTable
	dist   distTable
}

type state int

const (
	atHeader state = iota
	inStored
	inCoded
	atEnd
)

// reset begins a new stream.
func (d *inflater) reset() {
	d.state, d.last, d.start = atHeader, false, d.made
}

func (d *inflater) ready() []byte { return d.out[d.given:d.made] }

// inflate decodes until the buffer is full or the stream is over, by its end or
// by err. over is only said when nothing is ready. All that was must have been taken.
func (d *inflater) inflate() (over bool) {
	if d.made >= window+outBytes {
		copy(d.out[:window], d.out[d.made-window:d.made])
		d.start = max(0, d.start-(d.made-window))
		d.given, d.made = window, window
	}
	for d.made < window+outBytes && d.state != atEnd && d.err == nil {
		switch d.state {
		case atHeader:
			d.err = d.block()
		case inStored:
			d.err = d.copyStored()
		case inCoded:
			d.err = d.decode()
		}
	}
	return len(d.ready()) == 0
}

// more gets at least one more byte of input.
func (d *inflater) more() error {
	if d.fail == nil {
		d.end = copy(d.in[:], d.in[d.pos:d.end])
		d.pos = 0
		for range 100 {
			var n int
			n, d.fail = d.src.Read(d.in[d.end:inBytes])
			d.end += n
			d.read += int64(n)
			if n > 0 {
				return nil
			}
			if d.fail != nil {
				break
			}
		}
		if d.fail == nil {
			d.fail = io.ErrNoProgress
		}
	}
	if d.fail == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return d.fail
}

// need makes n bits, at most 48, available.
func (d *inflater) need(n uint) error {
	for d.n < n {
		if d.pos == d.end {
			if err := d.more(); err != nil {
				return err
			}
		}
		d.bits |= uint64(d.in[d.pos]) << d.n
		d.pos++
		d.n += 8
	}
	return nil
}

func (d *inflater) drop(n uint) {
	d.bits >>= n
	d.n -= n
}

func (d *inflater) take(n uint) (uint, error) {
	if err := d.need(n); err != nil {
		return 0, err
	}
	v := uint(d.bits & (1<<n - 1))
	d.drop(n)
	return v, nil
}

// align goes on to the next whole byte.
func (d *inflater) align() { d.drop(d.n & 7) }

// bytes fills b with whole bytes.
func (d *inflater) bytes(b []byte) error {
	for i := range b {
		v, err := d.take(8)
		if err != nil {
			return err
		}
		b[i] = byte(v)
	}
	return nil
}

// block reads the header of a block.
func (d *inflater) block() error {
	if d.last {
		d.state = atEnd
		return nil
	}
	h, err := d.take(3)
	if err != nil {
		return err
	}
	d.last = h&1 != 0
	switch h >> 1 {
	case 0:
		var b [4]byte
		d.align()
		if err := d.bytes(b[:]); err != nil {
			return err
		}
		length := binary.LittleEndian.Uint16(b[:])
		if length != ^binary.LittleEndian.Uint16(b[2:]) {
			return d.corrupt()
		}
		d.stored, d.state = int(length), inStored
	case 1:
		d.fixed()
		d.state = inCoded
	case 2:
		if err := d.dynamic(); err != nil {
			return err
		}
		d.state = inCoded
	default:
		return d.corrupt()
	}
	return nil
}

func (d *inflater) copyStored() error {
	for d.stored > 0 {
		if d.made >= window+outBytes {
			return nil
		}
		if d.pos == d.end {
			if err := d.more(); err != nil {
				return err
			}
		}
		n := copy(d.out[d.made:window+outBytes], d.in[d.pos:min(d.end, d.pos+d.stored)])
		d.made += n
		d.pos += n
		d.stored -= n
	}
	d.state = atHeader
	return nil
}

// decode decodes symbols until the block or the room is at its end.
func (d *inflater) decode() error {
	for d.made < window+outBytes {
		if d.end-d.pos < slack {
			if err := d.more(); err != nil && err != io.ErrUnexpectedEOF {
				return err
			}
		}
		if d.end-d.pos >= slack {
			end, err := d.decodeFast()
			if err != nil || end {
				return err
			}
			continue
		}
		if end, err := d.decodeOne(); err != nil || end {
			return err
		}
	}
	return nil
}

// decodeOne decodes one symbol where the input may end.
func (d *inflater) decodeOne() (end bool, err error) {
	e, err := d.symbol(d.lit[:], litBits)
	switch {
	case err != nil:
		return false, err
	case e&isLiteral != 0:
		d.out[d.made] = byte(e >> valueAt)
		d.made++
		return false, nil
	case e&isEnd != 0:
		d.state = atHeader
		return true, nil
	}
	length, err := d.value(e)
	if err != nil {
		return false, err
	}
	if e, err = d.symbol(d.dist[:], distBits); err != nil {
		return false, err
	}
	offset, err := d.value(e)
	if err != nil {
		return false, err
	}
	if offset > d.made-d.start {
		return false, d.corrupt()
	}
	for range length {
		d.out[d.made] = d.out[d.made-offset]
		d.made++
	}
	return false, nil
}

// symbol finds the next symbol's entry and drops its code.
func (d *inflater) symbol(table []uint32, tableBits uint) (uint32, error) {
	for {
		e := table[d.bits&(1<<tableBits-1)]
		code := uint(e>>codeAt) & 63
		if e&isLink != 0 {
			sub := d.bits >> tableBits & (1<<(e>>codeAt&63) - 1)
			e = table[uint64(e>>valueAt)+sub]
			code = tableBits + uint(e>>codeAt)&63
		}
		if e&isWrong == 0 && code <= d.n {
			d.drop(code)
			return e, nil
		}
		// Bits that are not here yet were taken for zeros.
		if e&isWrong != 0 && d.n >= longestCode {
			return 0, d.corrupt()
		}
		if err := d.need(d.n + 1); err != nil {
			return 0, err
		}
	}
}

// value is the length or the offset of an entry, with the extra bits.
func (d *inflater) value(e uint32) (int, error) {
	extra, err := d.take(uint(e&63) - uint(e>>codeAt)&63)
	return int(e>>valueAt) + int(extra), err
}

// decodeFast decodes as long as there is input and room for any symbol. It is
// one function, as what it works with is to stay in registers: 56 bits are
// enough for two literals and a length, or for an offset.
func (d *inflater) decodeFast() (end bool, err error) {
	pos, made, n := d.pos, d.made, d.n
	bits, in, out := d.bits, &d.in, &d.out
	safe := d.end - slack
symbols:
	for pos <= safe && made < window+outBytes {
		bits |= binary.LittleEndian.Uint64(in[pos:pos+8]) << (n & 63)
		pos += int(63-n) >> 3
		n |= 56
		e := d.lit[bits&(1<<litBits-1)]
		for most := made + 3; e&isLiteral != 0; e = d.lit[bits&(1<<litBits-1)] {
			bits >>= e & 63
			n -= uint(e & 63)
			out[made] = byte(e >> valueAt)
			if made++; made == most {
				continue symbols
			}
		}
		if e&(isLink|isEnd|isWrong) != 0 {
			if e&isLink != 0 {
				bits >>= litBits
				n -= litBits
				e = d.lit[(uint64(e>>valueAt)+bits&(1<<(e>>codeAt&63)-1))&(litEntries-1)]
			}
			if e&isLiteral != 0 {
				bits >>= e & 63
				n -= uint(e & 63)
				out[made] = byte(e >> valueAt)
				made++
				continue
			}
			if e&isEnd != 0 {
				d.state, end = atHeader, true
				bits >>= e & 63
				n -= uint(e & 63)
				break
			}
			if e&isWrong != 0 {
				return false, d.corrupt()
			}
		}
		length := int(e>>valueAt) + int(bits&(1<<(e&63)-1)>>(e>>codeAt&63))
		bits >>= e & 63
		n -= uint(e & 63)

		bits |= binary.LittleEndian.Uint64(in[pos:pos+8]) << (n & 63)
		pos += int(63-n) >> 3
		n |= 56
		e = d.dist[bits&(1<<distBits-1)]
		if e&(isLink|isWrong) != 0 {
			if e&isLink != 0 {
				bits >>= distBits
				n -= distBits
				e = d.dist[(uint64(e>>valueAt)+bits&(1<<(e>>codeAt&63)-1))&(distEntries-1)]
			}
			if e&isWrong != 0 {
				return false, d.corrupt()
			}
		}
		offset := int(e>>valueAt) + int(bits&(1<<(e&63)-1)>>(e>>codeAt&63))
		bits >>= e & 63
		n -= uint(e & 63)
		if offset > made-d.start {
			return false, d.corrupt()
		}
		repeat(out[made-offset:made+length+slack/2], offset, length)
		made += length
	}
	// Whole bytes go back, so that there are less than eight bits ahead.
	pos -= int(n / 8)
	n &= 7
	d.pos, d.made, d.n, d.bits = pos, made, n, bits&(1<<n-1)
	return end, nil
}

// repeat continues the first offset bytes of b over the next length ones; it may
// write up to 8 bytes more.
func repeat(b []byte, offset, length int) {
	switch {
	case offset >= 8:
		if length > 64 && offset >= length {
			copy(b[offset:offset+length], b)
			return
		}
		for i := 0; i < length; i += 8 {
			binary.LittleEndian.PutUint64(b[offset+i:], binary.LittleEndian.Uint64(b[i:]))
		}
	case offset == 1:
		v := uint64(b[0]) * 0x0101010101010101
		for i := 1; i <= length; i += 8 {
			binary.LittleEndian.PutUint64(b[i:], v)
		}
	default:
		for i := range length {
			b[offset+i] = b[i]
		}
	}
}
