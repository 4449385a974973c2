package portsock

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
)

var loopback = netip.MustParseAddr("127.0.0.1")

func TestReserve(t *testing.T) {
	for _, proto := range []string{"tcp", "udp"} {
		t.Run(proto, func(t *testing.T) {
			port := free(t, proto)
			f, err := Reserve(proto, port)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Reserve(proto, port); !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("reserved twice: %v", err)
			}
			if err := bind(proto, port); !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("another program: %v", err)
			}
			f.Close()
			if err := bind(proto, port); err != nil {
				t.Errorf("given back: %v", err)
			}
		})
	}
	if _, err := Reserve("tcp", netip.MustParseAddrPort("203.0.113.1:80")); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("foreign address: %v", err)
	}
}

func free(t *testing.T, proto string) netip.AddrPort {
	t.Helper()
	if proto == "udp" {
		p, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		return netip.AddrPortFrom(loopback, uint16(p.LocalAddr().(*net.UDPAddr).Port))
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.AddrPortFrom(loopback, uint16(l.Addr().(*net.TCPAddr).Port))
}

func bind(proto string, at netip.AddrPort) error {
	if proto == "udp" {
		p, err := net.ListenPacket("udp4", at.String())
		if err == nil {
			p.Close()
		}
		return err
	}
	l, err := net.Listen("tcp4", at.String())
	if err == nil {
		l.Close()
	}
	return err
}

func BenchmarkReserve(b *testing.B) {
	for _, proto := range []string{"tcp", "udp"} {
		b.Run(proto, func(b *testing.B) {
			at := netip.AddrPortFrom(loopback, 47111)
			for b.Loop() {
				f, err := Reserve(proto, at)
				if err != nil {
					b.Fatal(err)
				}
				f.Close()
			}
		})
	}
}
