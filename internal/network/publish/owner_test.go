package publish

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"github.com/berth-containers/berth/internal/container"
)

const procTCP = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1111 1 x 100 0 0 10 0
   1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2222 1 x 100 0 0 10 0
   2: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 3333 1 x 100 0 0 10 0
   3: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4444 1 x
`

func TestSocketsOn(t *testing.T) {
	for _, c := range []struct {
		ip   string
		port uint16
		want []string
	}{
		{"0.0.0.0", 8080, []string{"1111", "2222", "4444"}},
		{"127.0.0.1", 8080, []string{"1111", "2222", "4444"}},
		{"10.0.0.1", 8080, []string{"2222", "4444"}},
		{"0.0.0.0", 80, nil},
	} {
		port := container.Port{Proto: "tcp", HostIP: netip.MustParseAddr(c.ip), HostPort: c.port}
		if got := socketsOn(bytes.NewBufferString(procTCP), port); !slices.Equal(got, c.want) {
			t.Errorf("%s:%d: %q, want %q", c.ip, c.port, got, c.want)
		}
	}
}

func FuzzSocketsOn(f *testing.F) {
	f.Add([]byte(procTCP))
	f.Add([]byte("0: :1F90 0 0A 0 0 0 0 0 1\n"))
	f.Fuzz(func(t *testing.T, table []byte) {
		socketsOn(bytes.NewReader(table), container.Port{Proto: "tcp", HostIP: netip.IPv4Unspecified(), HostPort: 8080})
	})
}
