// Package dockercli plays scripts of the stock docker CLI to Berth and to
// Debian's dockerd and compares what the two answer, command by command.
//
// A script in testdata is a line of shell each: the output of both streams and
// the exit code have to be the same once IDs, times, addresses and widths of
// columns are made equal. "? command" compares the exit code only, for numbers that
// nobody can foretell. What differs on purpose is in testdata/differences.txt,
// with the reason; it only shrinks.
package dockercli

import (
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
