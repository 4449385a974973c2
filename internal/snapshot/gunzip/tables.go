package gunzip

import "math/bits"

const (
	litBits     = 11 // looked up at once
	distBits    = 8
	longestCode = 15
	litEntries  = 8192 // room for every set of codes, a power of two
	distEntries = 4096
)

// An entry of a table says what the next bits are:
//
//	bits 0–5    length of the code and of its extra bits
//	bits 8–13   length of the code; of a link, how many more bits choose
//	bits 16–30  the literal, the base of a length or an offset, or where a link leads
//
// A code that is longer than the table's bits has a link there, to a table of
// entries that count from there.
const (
	isWrong   = 1 << 6
	isEnd     = 1 << 7
	isLink    = 1 << 14
	isLiteral = 1 << 31

	codeAt  = 8
	valueAt = 16
)

type (
	litTable  [litEntries]uint32
	distTable [distEntries]uint32
)

// litEntry and distEntry are entries of symbols without the length of a code:
// the extra bits are where the sum is to be.
func litEntry(symbol int) uint32 {
	switch {
	case symbol < 256:
		return isLiteral | uint32(symbol)<<valueAt
	case symbol == 256:
		return isEnd
	case symbol < 265:
		return uint32(symbol-254) << valueAt
	case symbol < 285:
		extra := uint32(symbol-261) / 4
		return (3+(4+uint32(symbol-265)%4)<<extra)<<valueAt | extra
	case symbol == 285:
		return 258 << valueAt
	}
	return isWrong
}

func distEntry(symbol int) uint32 {
	switch {
	case symbol < 4:
		return uint32(symbol+1) << valueAt
	case symbol < 30:
		extra := uint32(symbol-2) / 2
		return (1+(2+uint32(symbol)%2)<<extra)<<valueAt | extra
	}
	return isWrong
}

// build fills a table, whose first 1<<tableBits entries are looked up at once,
// for codes of these lengths. It says if they are a set of codes: complete, or
// one code of one bit, or none.
func build(table []uint32, tableBits int, lengths []uint8, entry func(symbol int) uint32) bool {
	var count, next [longestCode + 2]int
	longest := 0
	for _, l := range lengths {
		count[l]++
		longest = max(longest, int(l))
	}
	for i := range 1 << tableBits {
		table[i] = isWrong
	}
	if longest == 0 {
		return true
	}
	count[0] = 0
	code := 0
	for l := 1; l <= longest; l++ {
		code = (code + count[l-1]) << 1
		next[l] = code
	}
	if code+count[longest] != 1<<longest && (longest != 1 || count[1] != 1) {
		return false
	}
	free, more := 1<<tableBits, longest-tableBits
	for symbol, l := range lengths {
		if l == 0 {
			continue
		}
		length := int(l)
		code := int(bits.Reverse16(uint16(next[length])) >> (16 - length))
		next[length]++
		e := entry(symbol)
		if length <= tableBits {
			e += uint32(length | length<<codeAt)
			for i := code; i < 1<<tableBits; i += 1 << length {
				table[i] = e
			}
			continue
		}
		link := &table[code&(1<<tableBits-1)]
		if *link&isLink == 0 {
			*link = uint32(free)<<valueAt | isLink | uint32(more)<<codeAt | uint32(tableBits)
			free += 1 << more
		}
		length -= tableBits
		e += uint32(length | length<<codeAt)
		sub := table[*link>>valueAt:][:1<<more]
		for i := code >> tableBits; i < len(sub); i += 1 << length {
			sub[i] = e
		}
	}
	return true
}

// fixed makes the tables of blocks without tables of their own.
func (d *inflater) fixed() {
	if d.common {
		return
	}
	d.common = true
	var lengths [288]uint8
	for i := range lengths {
		switch {
		case i < 144:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		case i < 280:
			lengths[i] = 7
		default:
			lengths[i] = 8
		}
	}
	build(d.lit[:], litBits, lengths[:], litEntry)
	var five [32]uint8
	for i := range five {
		five[i] = 5
	}
	build(d.dist[:], distBits, five[:], distEntry)
}

// order is that of the lengths of the codes for lengths of codes.
var order = [...]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// dynamic reads the tables of a block.
func (d *inflater) dynamic() error {
	d.common = false
	h, err := d.take(14)
	if err != nil {
		return err
	}
	lits, dists, codes := int(h&31)+257, int(h>>5&31)+1, int(h>>10)+4
	if lits > 286 || dists > 30 {
		return d.corrupt()
	}
	var first [19]uint8
	for i := range codes {
		l, err := d.take(3)
		if err != nil {
			return err
		}
		first[order[i]] = uint8(l)
	}
	const firstBits = 7
	var table [1 << firstBits]uint32
	if !build(table[:], firstBits, first[:], func(symbol int) uint32 { return uint32(symbol) << valueAt }) {
		return d.corrupt()
	}
	var lengths [286 + 30]uint8
	for i := 0; i < lits+dists; {
		e, err := d.symbol(table[:], firstBits)
		if err != nil {
			return err
		}
		symbol := uint8(e >> valueAt)
		if symbol < 16 {
			lengths[i] = symbol
			i++
			continue
		}
		var again uint
		var what uint8
		switch symbol {
		case 16:
			if i == 0 {
				return d.corrupt()
			}
			what = lengths[i-1]
			again, err = d.take(2)
			again += 3
		case 17:
			again, err = d.take(3)
			again += 3
		default:
			again, err = d.take(7)
			again += 11
		}
		if err != nil {
			return err
		}
		if i+int(again) > lits+dists {
			return d.corrupt()
		}
		for range again {
			lengths[i] = what
			i++
		}
	}
	if !build(d.lit[:], litBits, lengths[:lits], litEntry) || !build(d.dist[:], distBits, lengths[lits:lits+dists], distEntry) {
		return d.corrupt()
	}
	return nil
}
