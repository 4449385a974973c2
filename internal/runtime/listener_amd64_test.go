package runtime_test

import "golang.org/x/sys/unix"

const mkdir = unix.SYS_MKDIR
