package query

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

func ask(t testing.TB, name string, typ dnsmessage.Type, edns uint16) []byte {
	t.Helper()
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: 0x1234, RecursionDesired: true})
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(b.StartQuestions())
	must(b.Question(dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: typ, Class: dnsmessage.ClassINET}))
	if edns > 0 {
		must(b.StartAdditionals())
		var h dnsmessage.ResourceHeader
		must(h.SetEDNS0(int(edns), 0, true))
		must(b.OPTResource(h, dnsmessage.OPTResource{}))
	}
	raw, err := b.Finish()
	must(err)
	return raw
}

func read(t testing.TB, raw []byte) dnsmessage.Message {
	t.Helper()
	var m dnsmessage.Message
	if err := m.Unpack(raw); err != nil {
		t.Fatalf("%x: %v", raw, err)
	}
	return m
}

func TestParse(t *testing.T) {
	q, refuse, _ := Parse(ask(t, "WeB.Front.", dnsmessage.TypeAAAA, 1232))
	if refuse != nil || q.Name != "web.front" || q.Type != TypeAAAA || q.Class != ClassIN || !q.EDNS || !q.DNSSEC || q.Size() != 1232 || !q.Plain || !q.Recursive() || q.Options() {
		t.Errorf("%+v, %x", q, refuse)
	}
	q, _, _ = Parse(ask(t, ".", dnsmessage.TypeNS, 0))
	if q.Name != "" || q.EDNS || q.Size() != 512 {
		t.Errorf("root: %+v", q)
	}
	good := ask(t, "web.", dnsmessage.TypeA, 0)
	with := func(at int, b ...byte) []byte {
		raw := bytes.Clone(good)
		copy(raw[at:], b)
		return raw
	}
	for _, row := range []struct {
		name string
		raw  []byte
		want string
	}{
		{"empty", nil, "silence"},
		{"short", good[:11], "silence"},
		{"a response", with(2, 0x80), "silence"},
		{"another opcode", with(2, 0x28), "RCodeNotImplemented"},
		{"no question", with(4, 0, 0), "RCodeFormatError"},
		{"two questions", with(4, 0, 2), "RCodeFormatError"},
		{"cut", good[:len(good)-1], "RCodeFormatError"},
		{"a pointer", with(12, 0xc0, 12), "RCodeFormatError"},
		{"a label past the end", with(12, 63), "RCodeFormatError"},
		{"a dot in a label", with(13, '.'), "odd"},
		{"EDNS 1", bytes.Replace(ask(t, "web.", dnsmessage.TypeA, 512), []byte{2, 0, 0, 0}, []byte{2, 0, 0, 1}, 1), "RCode 16"},
	} {
		q, refuse, ok := Parse(row.raw)
		got := "silence"
		if refuse != nil {
			m := read(t, refuse)
			got = fmt.Sprint(m.RCode)
			if len(m.Additionals) > 0 {
				got = fmt.Sprint("RCode ", int(m.Additionals[0].Header.ExtendedRCode(m.RCode)))
			}
			if m.ID != 0x1234 || !m.Response {
				t.Errorf("%s: %+v", row.name, m.Header)
			}
		} else if ok && !q.Plain {
			got = "odd"
		}
		if got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}

func TestAddresses(t *testing.T) {
	var v4, v6 []netip.Addr
	for i := range 100 {
		v4 = append(v4, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))
		v6 = append(v6, netip.AddrFrom16([16]byte{0xfd, 15: byte(i)}))
	}
	for _, row := range []struct {
		typ       dnsmessage.Type
		edns      uint16
		addrs     []netip.Addr
		want      int
		truncated bool
	}{
		{dnsmessage.TypeA, 0, v4[:3], 3, false},
		{dnsmessage.TypeA, 0, v4, 30, true},
		{dnsmessage.TypeA, 4096, v4, 100, false},
		{dnsmessage.TypeAAAA, 1232, v6, 42, true},
		{dnsmessage.TypeAAAA, 0, v6[:1], 1, false},
	} {
		q, _, _ := Parse(ask(t, "Web.", row.typ, row.edns))
		out := q.Addresses([]byte("before"), row.addrs, q.Size())[len("before"):]
		m := read(t, out)
		if len(m.Answers) != row.want || m.Truncated != row.truncated || len(out) > q.Size() {
			t.Errorf("%v with %d: %d answers, %v, %d bytes", row.typ, row.edns, len(m.Answers), m.Header, len(out))
		}
		if m.ID != q.ID() || !m.Response || !m.RecursionAvailable || !m.RecursionDesired || m.Questions[0].Name.String() != "Web." || (len(m.Additionals) == 1) != (row.edns > 0) {
			t.Errorf("%+v", m)
		}
		for i, a := range m.Answers {
			if got := fmt.Sprint(a.Body); a.Header.Name.String() != "Web." || a.Header.TTL != ttl || !strings.Contains(got, fmt.Sprint(row.addrs[i].AsSlice()[3])) {
				t.Errorf("answer %d: %+v", i, a)
			}
		}
	}
}

func TestPointerAndCodes(t *testing.T) {
	q, _, _ := Parse(ask(t, "2.0.0.10.in-addr.arpa.", dnsmessage.TypePTR, 1232))
	m := read(t, q.Pointer(nil, "web.front"))
	if got := m.Answers[0].Body.(*dnsmessage.PTRResource).PTR.String(); got != "web.front." {
		t.Error(got)
	}
	read(t, q.Pointer(nil, strings.Repeat("a", 70)+"..b."+strings.Repeat("c.", 200)))
	if m := read(t, q.Code(nil, NameError)); m.RCode != dnsmessage.RCodeNameError || len(m.Answers) > 0 {
		t.Error(m)
	}
	if m := read(t, q.Truncated(nil)); !m.Truncated {
		t.Error(m)
	}
}

func TestReverse(t *testing.T) {
	for name, want := range map[string]string{
		"4.3.2.1.in-addr.arpa": "1.2.3.4",
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa": "fd00::1",
		"3.2.1.in-addr.arpa":     "",
		"4.3.2.256.in-addr.arpa": "",
		"4.3.2.01.in-addr.arpa":  "",
		"in-addr.arpa":           "",
		"1.ip6.arpa":             "",
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.g.ip6.arpa": "",
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d-f.ip6.arpa": "",
		"web": "",
	} {
		a, ok := Reverse(name)
		if got := a.String(); ok != (want != "") || ok && got != want {
			t.Errorf("%s: %s %v", name, got, ok)
		}
	}
}

// FuzzParse compares with the other parser and reads what is answered.
func FuzzParse(f *testing.F) {
	f.Add(ask(f, "web.front.", dnsmessage.TypeA, 0))
	f.Add(ask(f, "web.", dnsmessage.TypeAAAA, 1232))
	f.Add(ask(f, "1.0.0.10.in-addr.arpa.", dnsmessage.TypePTR, 512))
	f.Add([]byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"))
	f.Add(ask(f, ".", 255, 65535))
	addrs := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}
	f.Fuzz(func(t *testing.T, raw []byte) {
		q, refuse, ok := Parse(raw)
		if refuse != nil {
			var p dnsmessage.Parser
			if h, err := p.Start(refuse); err != nil || !h.Response || h.ID != q.ID() {
				t.Error(h, err)
			}
			return
		}
		if !ok {
			return
		}
		var p dnsmessage.Parser
		if _, err := p.Start(raw); err != nil {
			t.Fatal(err)
		}
		theirs, err := p.Question()
		if err != nil && q.Plain {
			t.Fatalf("%+v: %v", q, err)
		}
		if err == nil && !strings.EqualFold(strings.TrimSuffix(theirs.Name.String(), "."), q.Name) {
			t.Errorf("%q, %q", theirs.Name, q.Name)
		}
		Reverse(q.Name)
		answers := [][]byte{q.Code(nil, NameError), q.Truncated(nil)}
		switch q.Type {
		case TypeA, TypeAAAA:
			answers = append(answers, q.Addresses(nil, addrs, q.Size()))
		case TypePTR:
			answers = append(answers, q.Pointer(nil, q.Name))
		}
		for _, out := range answers {
			var p dnsmessage.Parser
			h, err := p.Start(out)
			if err != nil || h.ID != q.ID() || !h.Response {
				t.Fatal(h, err)
			}
			if q.Plain {
				read(t, out)
			}
		}
	})
}

func BenchmarkAnswer(b *testing.B) {
	raw := ask(b, "web.front.", dnsmessage.TypeA, 1232)
	addrs := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}
	out := make([]byte, 0, 512)
	for b.Loop() {
		q, _, _ := Parse(raw)
		out = q.Addresses(out[:0], addrs, q.Size())
	}
}
