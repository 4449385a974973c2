package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/berth-containers/berth/test/harness"
)

// The image of these rows: as large as figures about pulls usually are, the
// same bytes each time, packed to about a third.
const (
	imageLayers = 5
	imageFiles  = 600 // in each layer
	imageFile   = 200 << 10
	imageName   = "bench/large:1"
)

// imageRows measure how images travel.
func imageRows(work string) ([]row, error) {
	seed := filepath.Join(work, "registry-seed")
	if err := seedRegistry(seed); err != nil {
		return nil, fmt.Errorf("make the image: %w", err)
	}
	m := images{work: work, seed: seed}
	return []row{
		{[]line{{"images: pull", "ms"}, {"images: rmi", "ms"}}, 3, m.pull},
		{[]line{{"images: push, cold", "ms"}, {"images: push, again", "ms"}}, 3, m.push},
		{[]line{{"images: save", "ms"}, {"images: load", "ms"}}, 3, m.save},
	}, nil
}

type images struct{ work, seed string }

// registry runs docker-registry on a folder.
func (m images) registry(data string) (addr string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	addr = l.Addr().String()
	l.Close()
	config := filepath.Join(m.work, "registry.yml")
	text := fmt.Sprintf("version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: %s\nlog:\n  level: error\nhttp:\n  addr: %s\n", data, addr)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return "", nil, err
	}
	cmd := exec.Command("docker-registry", "serve", config)
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	for deadline := time.Now().Add(harness.Patience); ; time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get("http://" + addr + "/v2/")
		if err == nil {
			resp.Body.Close()
			return addr, stop, nil
		}
		if time.Now().After(deadline) {
			stop()
			return "", nil, err
		}
	}
}

// clock is how long a command of the system takes.
func clock(s *system, args ...string) (float64, error) {
	began := time.Now()
	err := s.do(args...)
	return ms(time.Since(began)), err
}

// transfer is pull or push, from or to a registry that speaks plain HTTP.
func (s *system) transfer(verb, name string) []string {
	args := []string{verb, "-q"}
	if s.place != nil { // podman: the others take a loopback address for what it is
		args = append(args, "--tls-verify=false")
	}
	return append(args, name)
}

func (m images) pull(s *system) ([]float64, error) {
	addr, stop, err := m.registry(m.seed)
	if err != nil {
		return nil, err
	}
	defer stop()
	name := addr + "/" + imageName
	pulled, err := clock(s, s.transfer("pull", name)...)
	if err != nil {
		return nil, err
	}
	removed, err := clock(s, "rmi", name)
	return []float64{pulled, removed}, err
}

// have pulls the image from the seed and gives it another name.
func (m images) have(s *system, name string) error {
	addr, stop, err := m.registry(m.seed)
	if err != nil {
		return err
	}
	defer stop()
	seeded := addr + "/" + imageName
	return errors.Join(s.do(s.transfer("pull", seeded)...), s.do("tag", seeded, name), s.do("rmi", seeded))
}

func (m images) push(s *system) ([]float64, error) {
	empty := filepath.Join(m.work, "registry-empty")
	addr, stop, err := m.registry(empty)
	if err != nil {
		return nil, err
	}
	defer func() {
		stop()
		_ = os.RemoveAll(empty)
	}()
	name := addr + "/" + imageName
	if err := m.have(s, name); err != nil {
		return nil, err
	}
	cold, err := clock(s, s.transfer("push", name)...)
	if err != nil {
		return nil, err
	}
	again, err := clock(s, s.transfer("push", name)...)
	return []float64{cold, again}, errors.Join(err, s.do("rmi", name))
}

func (m images) save(s *system) ([]float64, error) {
	name, file := "localhost/"+imageName, filepath.Join(m.work, "saved.tar")
	if err := m.have(s, name); err != nil {
		return nil, err
	}
	defer os.Remove(file)
	saved, err := clock(s, "save", "-o", file, name)
	if err != nil {
		return nil, err
	}
	if err := s.do("rmi", name); err != nil {
		return nil, err
	}
	loaded, err := clock(s, "load", "-q", "-i", file)
	return []float64{saved, loaded}, errors.Join(err, s.do("rmi", name))
}

// seedRegistry writes the image into the folder of a docker-registry.
func seedRegistry(data string) error {
	root := filepath.Join(data, "docker/registry/v2")
	var diffs []string
	var layers []descriptor
	random := rand.New(rand.NewPCG(1, 2))
	for i := range imageLayers {
		packed, diff, err := layer(i, random)
		if err != nil {
			return err
		}
		d, err := putBlob(root, packed)
		if err != nil {
			return err
		}
		d.MediaType = "application/vnd.docker.image.rootfs.diff.tar.gzip"
		layers, diffs = append(layers, d), append(diffs, diff)
	}
	config, err := json.Marshal(map[string]any{"architecture": "amd64", "os": "linux", "config": map[string]any{"Cmd": []string{"true"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffs}})
	if err != nil {
		return err
	}
	c, err := putBlob(root, config)
	if err != nil {
		return err
	}
	c.MediaType = "application/vnd.docker.container.image.v1+json"
	manifest, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "config": c, "layers": layers})
	if err != nil {
		return err
	}
	d, err := putBlob(root, manifest)
	if err != nil {
		return err
	}
	repository := filepath.Join(root, "repositories/bench/large")
	links := []string{"_manifests/revisions/sha256/" + d.hex(), "_manifests/tags/1/current", "_manifests/tags/1/index/sha256/" + d.hex()}
	for _, l := range append(layers, c) {
		if err := putLink(repository, "_layers/sha256/"+l.hex(), l); err != nil {
			return err
		}
	}
	for _, path := range links {
		if err := putLink(repository, path, d); err != nil {
			return err
		}
	}
	return nil
}

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int    `json:"size"`
}

func (d descriptor) hex() string { return d.Digest[len("sha256:"):] }

func putBlob(root string, b []byte) (descriptor, error) {
	sum := sha256.Sum256(b)
	name := hex.EncodeToString(sum[:])
	dir := filepath.Join(root, "blobs/sha256", name[:2], name)
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "data"), b, 0o644)
	}
	return descriptor{Digest: "sha256:" + name, Size: len(b)}, err
}

func putLink(repository, path string, d descriptor) error {
	dir := filepath.Join(repository, path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "link"), []byte(d.Digest), 0o644)
}

// layer is a packed layer of files that are random in a third of their bytes,
// and the digest of the unpacked one.
func layer(number int, random *rand.Rand) (packed []byte, diff string, err error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return nil, "", err
	}
	hash := sha256.New()
	w := tar.NewWriter(io.MultiWriter(z, hash))
	body := make([]byte, imageFile)
	for i := range imageFiles {
		for at := 0; at+24 <= len(body); at += 24 {
			n := random.Uint64()
			for j := range 8 {
				body[at+j] = byte(n >> (8 * j))
			}
		}
		name := fmt.Sprintf("usr/share/layer%d/dir%d/file%d", number, i%30, i)
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(body))}); err != nil {
			return nil, "", err
		}
		if _, err := w.Write(body); err != nil {
			return nil, "", err
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		return nil, "", err
	}
	return b.Bytes(), "sha256:" + hex.EncodeToString(hash.Sum(nil)), nil
}
