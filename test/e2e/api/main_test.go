// Package api asks the engine for every operation that the API has, in the oldest
// and newest versions and the two that most clients speak, and has each answer
// judged by the swagger of its version. It also gives it what no client should
// send, and counts what that leaves behind.
package api

import (
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
