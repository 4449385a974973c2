package runtime_test

import (
	"testing"
)

func TestRunTrue(t *testing.T) {
	if out := must(t, spec("true"), rootfs(t)); out != "" {
		t.Fatal(out)
	}
}

func TestRunEcho(t *testing.T) {
	if out := must(t, spec("sh", "-c", "echo hello; hostname; id -u; cat /proc/self/mountinfo; ls -l /dev /proc/self/fd; cat /proc/self/status"), rootfs(t)); out != "" {
		t.Fatal(out)
	}
}
