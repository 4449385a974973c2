package executor

import (
	"io"
	"os"
	"syscall"
	"testing"
	"time"
)

// What a step writes faster than it is read must wait, not fail.
func TestPipeBlocks(t *testing.T) {
	out, theirs, err := pipe(true, false)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	const much = 1 << 20
	wrote := make(chan int, 1)
	go func() {
		defer theirs.Close()
		wrote <- rawWrite(theirs, make([]byte, much))
	}()
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(out)
	if n := <-wrote; err != nil || n != much || len(rest) != much-1 {
		t.Errorf("one write wrote %d bytes, %d were read, %v", n, len(rest)+1, err)
	}

	theirs, in, err := pipe(false, true)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	if err := in.SetDeadline(time.Time{}); err != nil {
		t.Errorf("our end is not polled: %v", err)
	}
	in.Close()
}

// rawWrite is write(2), as a program does it.
func rawWrite(f *os.File, b []byte) (n int) {
	raw, err := f.SyscallConn()
	if err != nil {
		return -1
	}
	_ = raw.Control(func(fd uintptr) { n, _ = syscall.Write(int(fd), b) })
	return n
}
