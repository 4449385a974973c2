// Package faults kills Berth's processes at bad moments and looks at what is kept.
package faults

import (
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
