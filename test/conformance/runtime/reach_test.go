package conformance

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/test/harness"
)

// Before it is the program, what the runtime brings into a container's PID
// namespace is out of reach of the processes there, though it is of the same user.
func TestInitIsOutOfReach(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*bundle)
	}{
		{"root", func(*bundle) {}},
		{"root with capabilities", func(b *bundle) { b.capable("CAP_SYS_ADMIN", "CAP_DAC_READ_SEARCH", "CAP_SYS_RESOURCE") }},
		{"user namespace", func(b *bundle) { b.mapped(); b.capable("CAP_SYS_ADMIN") }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBundle(t, "/probe", "reach", "true")
			tc.change(b)
			r := b.start()
			b.line(r)
			const least, most = 10, 200
			init := regexp.MustCompile("(?m)^seen (4|berth-init)$")
			for n := 0; n < least || n < most && !foreign() && !init.MatchString(read(r.outFile)); n++ {
				if e := b.exec("/bin/true"); e.code != 0 {
					t.Fatal(e.err)
				}
			}
			if tc.name != "user namespace" {
				b.beside()
			}
			if said := read(r.outFile); !foreign() && !init.MatchString(said) {
				t.Errorf("the probe has not seen the init:\n%s", said)
			} else if strings.Contains(said, "reached ") {
				t.Errorf("the probe says\n%s", said)
			}
		})
	}
}

// beside makes containers in the PID namespace of the container.
func (b *bundle) beside() {
	b.namespace(specs.PIDNamespace, fmt.Sprintf("/proc/%d/ns/pid", b.stateOf().Pid))
	b.spec.Process.Args = []string{"/bin/true"}
	b.spec.Linux.CgroupsPath += "-beside"
	b.save()
	for range 5 {
		id := b.id + "-beside"
		b.ids = append(b.ids, id)
		b.ok("create", id)
		b.ok("start", id)
		b.ok("delete", "--force", id)
	}
}

// A container that has the caller's terminal as its stdio cannot type there.
func TestNothingIsTypedForTheCaller(t *testing.T) {
	b := newBundle(t, "/probe", "try", "type,0,x", "type,1,x", "type,2,x", "type,/dev/tty,x")
	b.save()
	b.ids = append(b.ids, b.id)
	master, slave, err := openPty()
	b.must(err)
	defer master.Close()
	defer slave.Close()
	cmd := b.prepare("run", b.id)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	// As a shell's: the terminal is the caller's own.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	b.must(cmd.Run())
	b.must(master.SetReadDeadline(time.Now().Add(harness.Patience)))
	var said string
	for buf := make([]byte, 256); strings.Count(said, "\n") < 4; {
		n, err := master.Read(buf)
		said += string(buf[:n])
		if err != nil {
			t.Fatalf("the terminal shows %q: %v", said, err)
		}
	}
	if want := "EPERM\r\nEPERM\r\nEPERM\r\nENXIO\r\n"; said != want {
		t.Errorf("typing says %q, want %q", said, want)
	}
}

func openPty() (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	master = os.NewFile(uintptr(fd), "ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, errors.Join(err, master.Close())
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		return nil, nil, errors.Join(err, master.Close())
	}
	return master, slave, nil
}
