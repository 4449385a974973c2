// Command probe is the program of a container under test. It says what it sees:
//
//	probe                    one line of JSON (package look)
//	probe hold               the same, and stays until SIGTERM or SIGINT (exit 0)
//	probe reach PROGRAM      tries to get at every process but PROGRAM's, until SIGTERM; says which way, at whom
//	probe try OP[,ARG...]... does each and prints a line: ok, what was seen, or the errno's name
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/test/conformance/runtime/look"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "try" {
		for _, arg := range os.Args[2:] {
			f := strings.Split(arg, ",")
			seen, err := try(f[0], f[1:])
			fmt.Println(answer(seen, err))
		}
		return
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	if len(os.Args) > 2 && os.Args[1] == "reach" {
		reach(os.Args[2], stop)
		return
	}
	line, err := json.Marshal(look.Around())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(string(line))
	if len(os.Args) > 1 && os.Args[1] == "hold" {
		<-stop
	}
}

func answer(seen string, err error) string {
	if err == nil && seen == "" {
		return "ok"
	}
	if err == nil {
		return seen
	}
	for e := err; e != nil; {
		if errno, ok := e.(syscall.Errno); ok {
			if name := unix.ErrnoName(errno); name != "" {
				return name
			}
			return fmt.Sprint("errno ", int(errno))
		}
		wrapped, ok := e.(interface{ Unwrap() error })
		if !ok {
			break
		}
		e = wrapped.Unwrap()
	}
	return err.Error()
}
