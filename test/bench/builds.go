package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// contextFiles are in the context of these rows, besides the Dockerfile.
const contextFiles = 2000

const buildSteps = `FROM busybox
ENV A=1
RUN echo one > /one
WORKDIR /app
COPY . /app
RUN ls /app > /two
RUN echo three > /three
COPY f0001 /four
RUN echo five > /five
CMD ["sh"]
`

// buildRows measure builds of ten steps. docker's client of 20.10 speaks to both
// engines, as it has BuildKit's own built in and no plugin to start.
func buildRows(work string) ([]row, error) {
	dir := filepath.Join(work, "context")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(buildSteps), 0o644); err != nil {
		return nil, err
	}
	for i := range contextFiles {
		text := strings.Repeat(fmt.Sprintf("line of file %d\n", i), 20)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%04d", i)), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	return []row{{[]line{{"build: ten steps, cold", "ms"}, {"build: ten steps, cached", "ms"}}, 0, func(s *system) ([]float64, error) {
		cold, err := builder(s, "build", "-q", "--no-cache", "-t", "ten", dir)
		if err != nil {
			return nil, err
		}
		cached, err := builder(s, "build", "-q", "-t", "ten", dir)
		return []float64{cold, cached}, err
	}}}, nil
}

func builder(s *system, args ...string) (float64, error) {
	b := *s
	b.env = slices.Concat(s.env, []string{"DOCKER_BUILDKIT=1"})
	switch s.name {
	case "podman": // its layers are no cache unless asked for
		args = slices.Insert(args, 1, "--layers")
	default:
		b.client = []string{"/usr/bin/docker"}
	}
	began := time.Now()
	err := b.do(args...)
	return ms(time.Since(began)), err
}
