package directory

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func addrs(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, t := range texts {
		all = append(all, netip.MustParseAddr(t))
	}
	return all
}

func TestLookup(t *testing.T) {
	d := New()
	d.Set("w1", []Endpoint{{NetworkID: "f", NetworkName: "front", Names: []string{"web1", "web", "aaaaaaaaaaaa"}, Addrs: addrs("10.1.0.2", "fd00::2")}})
	d.Set("w2", []Endpoint{{NetworkID: "f", NetworkName: "front", Names: []string{"web2", "web", "bbbbbbbbbbbb"}, Addrs: addrs("10.1.0.3")}})
	d.Set("db", []Endpoint{{NetworkID: "b", NetworkName: "back.end", Names: []string{"db"}, Addrs: addrs("10.2.0.2"), Internal: true}})
	d.Set("app", []Endpoint{
		{NetworkID: "b", NetworkName: "back.end", Names: []string{"app"}, Addrs: addrs("10.2.0.3"), Internal: true, Links: map[string]string{"database": "DB"}},
		{NetworkID: "f", NetworkName: "front", Names: []string{"app"}, Addrs: addrs("10.1.0.4")}})
	for _, row := range []struct{ from, name, want string }{
		{"app", "web", "10.1.0.2 fd00::2 10.1.0.3"},
		{"app", "WEB1", "10.1.0.2 fd00::2"},
		{"app", "bbbbbbbbbbbb", "10.1.0.3"},
		{"app", "database", "10.2.0.2"},
		{"app", "app", "10.2.0.3"},
		{"app", "app.front", "10.1.0.4"},
		{"app", "db.back.end", "10.2.0.2"},
		{"app", "database.back.end", "10.2.0.2"},
		{"app", "db.front", "none"},
		{"web1", "web", "none"},
		{"w1", "db", "none"},
		{"w1", "database", "none"},
		{"w1", "app", "10.1.0.4"},
		{"db", "web", "none"},
		{"db", "", "none"},
		{"db", ".", "none"},
	} {
		got := "none"
		if found, ok := d.Lookup(row.from, row.name); ok {
			got = strings.Trim(fmt.Sprint(found), "[]")
		}
		if got != row.want {
			t.Errorf("%s looks up %q: %s, want %s", row.from, row.name, got, row.want)
		}
	}
	if name, ok := d.Reverse("app", netip.MustParseAddr("10.1.0.3")); !ok || name != "web2.front" {
		t.Errorf("reverse: %q", name)
	}
	if name, ok := d.Reverse("db", netip.MustParseAddr("10.1.0.3")); ok {
		t.Errorf("reverse from another network: %q", name)
	}
	if d.External("db") || !d.External("app") || d.External("nobody") {
		t.Error("who may ask outside is wrong")
	}
}

func TestSetReplaces(t *testing.T) {
	d := New()
	e := Endpoint{NetworkID: "f", NetworkName: "front", Names: []string{"a"}, Addrs: addrs("10.1.0.2")}
	changed := d.Changed()
	d.Set("a", []Endpoint{e})
	select {
	case <-changed:
	default:
		t.Error("a change was not told")
	}
	d.Set("b", []Endpoint{{NetworkID: "f", NetworkName: "front", Names: []string{"b", "a"}, Addrs: addrs("10.1.0.3")}})
	e.Names = []string{"renamed"}
	d.Set("a", []Endpoint{e})
	if got, _ := d.Lookup("b", "a"); !slices.Equal(got, addrs("10.1.0.3")) {
		t.Errorf("the old name: %v", got)
	}
	if got, _ := d.Lookup("b", "renamed"); !slices.Equal(got, addrs("10.1.0.2")) {
		t.Errorf("the new name: %v", got)
	}
	d.Set("b", nil)
	d.Set("a", nil)
	if len(d.networks)+len(d.Containers()) != 0 {
		t.Errorf("left: %v %v", d.networks, d.Containers())
	}
}
