package forward

import (
	"encoding/binary"

	"github.com/berth-containers/berth/internal/network/dns/query"
)

const (
	headerBytes = 12
	typeSOA     = 6
	typeOPT     = 41
)

// answer is a message of another server. It is passed on as it is; only what is
// needed to believe and to keep it is read.
type answer []byte

func (a answer) code() byte { return a[3] & 0xf }

func (a answer) truncated() bool { return a[2]&2 != 0 }

func (a answer) count(section int) int {
	return int(binary.BigEndian.Uint16(a[4+2*section:]))
}

// answers is whether it is the answer to q that was sent with id. Some servers
// spell the name their own way, which is none of ours.
func (a answer) answers(q *query.Query, id uint16) bool {
	asked := q.Question()
	if len(a) < headerBytes+len(asked) || binary.BigEndian.Uint16(a) != id || a[2]&0x80 == 0 || a.count(0) != 1 {
		return false
	}
	name := len(asked) - 4
	for i, b := range a[headerBytes : headerBytes+len(asked)] {
		if b != asked[i] && (i >= name || lower(b) != lower(asked[i])) {
			return false
		}
	}
	return true
}

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// record is where one is in a message.
type record struct {
	section  int // 1 answers, 2 authority, 3 additional
	kind     uint16
	ttlAt    int
	ttl      uint32
	from, to int // its data
}

// records calls f for each record behind the question; false: it is broken.
func (a answer) records(question int, f func(record)) bool {
	at := headerBytes + question
	for section := 1; section <= 3; section++ {
		for range a.count(section) {
			at = a.skipName(at)
			if at < 0 || at+10 > len(a) {
				return false
			}
			r := record{section: section, kind: binary.BigEndian.Uint16(a[at:]), ttlAt: at + 4, ttl: binary.BigEndian.Uint32(a[at+4:]), from: at + 10}
			r.to = r.from + int(binary.BigEndian.Uint16(a[at+8:]))
			if r.to > len(a) {
				return false
			}
			f(r)
			at = r.to
		}
	}
	return true
}

// skipName is what follows a name; -1: it is broken.
func (a answer) skipName(at int) int {
	for at < len(a) {
		switch n := int(a[at]); {
		case n == 0:
			return at + 1
		case n >= 0xc0:
			return at + 2
		case n > 63:
			return -1
		default:
			at += 1 + n
		}
	}
	return -1
}

// lifetime is for how many seconds the answer may be given again, and where its
// records say so. 0: it may not. A negative answer lives as its SOA says (RFC 2308).
func (a answer) lifetime(question int) (seconds uint32, ttls []uint16) {
	code := a.code()
	if a.truncated() || code != query.Success && code != query.NameError {
		return 0, nil
	}
	negative := code == query.NameError || a.count(1) == 0
	seconds = mostSeconds
	if negative {
		seconds = mostNegative
	}
	authority := false
	whole := a.records(question, func(r record) {
		if r.kind == typeOPT {
			return
		}
		if r.kind == typeSOA && r.section == 2 && r.to-r.from >= 22 {
			authority = true
			if negative {
				seconds = min(seconds, binary.BigEndian.Uint32(a[r.to-4:]))
			}
		}
		seconds = min(seconds, r.ttl)
		ttls = append(ttls, uint16(r.ttlAt))
	})
	if !whole || negative && !authority {
		return 0, nil
	}
	return seconds, ttls
}
