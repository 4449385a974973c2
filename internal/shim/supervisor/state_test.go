package supervisor

import (
	"io"
	"net"
	"os"
	"testing"

	"github.com/berth-containers/berth/internal/shim"
)

func TestOwnStat(t *testing.T) {
	st, err := readStat(os.Getpid())
	if err != nil || st.zombie || st.startTicks == 0 {
		t.Errorf("%+v %v", st, err)
	}
}

func FuzzStat(f *testing.F) {
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("1 (a) b) Z 1 2"))
	f.Fuzz(func(t *testing.T, b []byte) { parseStat(b) })
}

// Whatever comes in, the shim answers or hangs up, and serves the next one.
func TestMalformedRequests(t *testing.T) {
	b := newBench(t)
	for _, bytes := range []string{
		"", "GET / HTTP/1.1\r\n\r\n", "\x00\x00\x00\x02{}", "\x00\x00\x00\x04null", "\xff\xff\xff\xff",
		"\x00\x00\x00\x1e{\"version\":1,\"method\":\"start\"}", "\x00\x00\x00\x1e{\"version\":1,\"method\":\"dance\"}",
		"\x00\x00\x00\x1f{\"version\":1,\"method\":\"attach\"}",
	} {
		conn, err := net.Dial("unix", shim.Socket(b.root))
		if err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte(bytes))
		conn.(*net.UnixConn).CloseWrite()
		io.Copy(io.Discard, conn) // until it hangs up
		conn.Close()
	}
	if _, err := b.List(b.ctx); err != nil {
		t.Error(err)
	}
}
