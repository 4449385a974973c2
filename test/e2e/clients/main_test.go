// Package clients drives the engine with what people use beside the docker CLI:
// compose, old and new, docker-py and testcontainers.
package clients

import (
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
