package forward

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/berth-containers/berth/internal/network/dns/query"
)

func name(s string) dnsmessage.Name { return dnsmessage.MustNewName(s) }

func ask(t testing.TB, s string) query.Query {
	t.Helper()
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 5, RecursionDesired: true}, Questions: []dnsmessage.Question{{Name: name(s), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	raw, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	q, _, ok := query.Parse(raw)
	if !ok {
		t.Fatal("not a question")
	}
	return q
}

// reply is an answer; soa < 0 has no authority.
func reply(t testing.TB, s string, code dnsmessage.RCode, soa int, ttls ...uint32) answer {
	t.Helper()
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 6, Response: true, RCode: code}, Questions: []dnsmessage.Question{{Name: name(s), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	for i, ttl := range ttls {
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: name(s), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: ttl}, Body: &dnsmessage.AResource{A: [4]byte{192, 0, 2, byte(i)}}})
	}
	if soa >= 0 {
		m.Authorities = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: name("com."), Type: dnsmessage.TypeSOA, Class: dnsmessage.ClassINET, TTL: 900},
			Body: &dnsmessage.SOAResource{NS: name("a.com."), MBox: name("b.com."), MinTTL: uint32(soa)}}}
	}
	var h dnsmessage.ResourceHeader
	h.SetEDNS0(1232, 0, false)
	m.Additionals = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.OPTResource{}}}
	raw, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestLifetime(t *testing.T) {
	question := len("\x07example\x03com\x00") + 4
	truncated := reply(t, "example.com.", 0, -1, 60)
	truncated[2] |= 2
	whole := reply(t, "example.com.", 0, -1, 60)
	for _, row := range []struct {
		name string
		a    answer
		want uint32
	}{
		{"the least of all", reply(t, "example.com.", 0, -1, 60, 30, 90), 30},
		{"a day is too long", reply(t, "example.com.", 0, -1, 86400), mostSeconds},
		{"zero", reply(t, "example.com.", 0, -1, 60, 0), 0},
		{"no such name", reply(t, "example.com.", dnsmessage.RCodeNameError, 20), 20},
		{"no such type", reply(t, "example.com.", 0, 20), 20},
		{"a long negative one", reply(t, "example.com.", dnsmessage.RCodeNameError, 3600), mostNegative},
		{"negative without authority", reply(t, "example.com.", dnsmessage.RCodeNameError, -1), 0},
		{"a failure", reply(t, "example.com.", dnsmessage.RCodeServerFailure, 20), 0},
		{"truncated", truncated, 0},
		{"torn", whole[:len(whole)-12], 0},
	} {
		if got, _ := row.a.lifetime(question); got != row.want {
			t.Errorf("%s: %d, want %d", row.name, got, row.want)
		}
	}
}

func TestCacheAges(t *testing.T) {
	var c cache
	q, now := ask(t, "example.com."), time.Now()
	k := keyOf(&q, "host")
	c.put(k, reply(t, "example.com.", 0, -1, 60, 90), now)
	a, ok := c.get(k, now.Add(20*time.Second))
	if !ok {
		t.Fatal("not kept")
	}
	var m dnsmessage.Message
	if err := m.Unpack(a); err != nil {
		t.Fatal(err)
	}
	if m.Answers[0].Header.TTL != 40 || m.Answers[1].Header.TTL != 70 {
		t.Errorf("%+v", m.Answers)
	}
	if _, ok := c.get(keyOf(&q, "other"), now); ok {
		t.Error("another scope sees it")
	}
	if _, ok := c.get(k, now.Add(time.Minute)); ok {
		t.Error("it lives for ever")
	}
	if len(c.byKey) != 0 || c.bytes != 0 || c.recent.Len() != 0 {
		t.Errorf("left: %v %d", c.byKey, c.bytes)
	}
}

func TestCacheIsBounded(t *testing.T) {
	var c cache
	now := time.Now()
	for i := range 20_000 {
		s := fmt.Sprintf("n%d.example.com.", i)
		q := ask(t, s)
		c.put(keyOf(&q, "host"), reply(t, s, 0, -1, 60), now)
	}
	if c.bytes > cacheBytes || len(c.byKey) != c.recent.Len() || len(c.byKey) < 1000 {
		t.Errorf("%d bytes, %d entries, %d", c.bytes, len(c.byKey), c.recent.Len())
	}
	last, first := ask(t, "n19999.example.com."), ask(t, "n0.example.com.")
	if _, ok := c.get(keyOf(&last, "host"), now); !ok {
		t.Error("the last is gone")
	}
	if _, ok := c.get(keyOf(&first, "host"), now); ok {
		t.Error("the first is there")
	}
	c.clear()
	if _, ok := c.get(keyOf(&last, "host"), now); ok || c.bytes != 0 {
		t.Error("not cleared")
	}
}

// FuzzUpstream reads what another server may send.
func FuzzUpstream(f *testing.F) {
	f.Add([]byte(reply(f, "example.com.", 0, -1, 60, 30)))
	f.Add([]byte(reply(f, "example.com.", dnsmessage.RCodeNameError, 20)))
	f.Add([]byte(reply(f, "example.com.", 0, 20))[:40])
	q := ask(f, "example.com.")
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 65535 {
			return
		}
		a := answer(raw)
		if len(raw) < headerBytes || !a.answers(&q, binary.BigEndian.Uint16(raw)) {
			return
		}
		var c cache
		now := time.Now()
		k := keyOf(&q, "host")
		c.put(k, a, now)
		for _, tcp := range []bool{true, false} {
			passed := a
			if kept, ok := c.get(k, now.Add(time.Second)); ok {
				passed = kept
			}
			out := passOn(nil, &q, passed, tcp)
			if binary.BigEndian.Uint16(out) != q.ID() || !tcp && len(out) > q.Size() || answer(out).count(0) != 1 {
				t.Errorf("%x", out)
			}
		}
	})
}
