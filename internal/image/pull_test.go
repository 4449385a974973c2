package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-containers/berth/internal/distribution"
	"github.com/berth-containers/berth/internal/distribution/registrytest"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// serve puts an image of plain layers, packed as gzip, zstd and not at all in
// turn, into a registry.
func serve(t testing.TB, r *registrytest.Registry, repo, tag string, layers ...[]byte) ocispec.Descriptor {
	t.Helper()
	image := ocispec.Image{Created: &epoch, Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}}
	image.RootFS.Type = "layers"
	manifest := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for i, l := range layers {
		image.RootFS.DiffIDs = append(image.RootFS.DiffIDs, digest.FromBytes(l))
		packed, kind := gzipped(t, l), ocispec.MediaTypeImageLayerGzip
		switch i % 3 {
		case 1:
			w, err := zstd.NewWriter(nil)
			if err != nil {
				t.Fatal(err)
			}
			packed, kind = w.EncodeAll(l, nil), ocispec.MediaTypeImageLayerZstd
		case 2:
			packed, kind = l, ocispec.MediaTypeImageLayer
		}
		manifest.Layers = append(manifest.Layers, ocispec.Descriptor{MediaType: kind, Digest: r.AddBlob(packed), Size: int64(len(packed))})
	}
	config, err := json.Marshal(image)
	if err != nil {
		t.Fatal(err)
	}
	manifest.Config = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: r.AddBlob(config), Size: int64(len(config))}
	b, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: r.AddManifest(repo, tag, ocispec.MediaTypeImageManifest, b), Size: int64(len(b))}
}

// noise is a layer that packs badly.
func noise(t testing.TB, seed uint64, size int) []byte {
	t.Helper()
	random := rand.NewChaCha8([32]byte{byte(seed)})
	b := make([]byte, size)
	random.Read(b) //nolint:errcheck // never fails
	return archiveOf(t, reg("noise", string(b)))
}

func threeLayers(t testing.TB) [][]byte {
	return append(awkward(t), noise(t, 1, 300_000))
}

func TestPull(t *testing.T) {
	ctx := context.Background()
	r := registrytest.New(t, registrytest.OK)
	serve(t, r, "team/app", "1", threeLayers(t)...)
	s := newStore(t)
	var events []Event
	ref := r.Host() + "/team/app:1"
	img, err := s.Pull(ctx, ref, "linux/amd64", Credentials{}, func(e Event) { events = append(events, e) })
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(img.Tags, []string{ref}) || len(img.Layers) != 3 {
		t.Errorf("pulled %v %v", img.Tags, img.Layers)
	}
	for _, want := range []string{"Pulling from team/app", "Pulling fs layer", "Downloading", "Verifying Checksum", "Download complete", "Pull complete",
		"Digest: " + img.Target.Digest.String(), "Status: Downloaded newer image for " + ref} {
		if !slices.Contains(statuses(events), want) {
			t.Errorf("no event %q in %q", want, statuses(events))
		}
	}
	fs, err := s.PrepareRootfs(ctx, img, "c")
	if err != nil || len(fs.Lowers) != 3 {
		t.Fatal(fs, err)
	}
	if got := tree(t, fs.Lowers[1]); !strings.Contains(got, "dtrwxrwxrwx tmp 0:0") {
		t.Errorf("second layer:\n%s", got)
	}
	before := r.Served("GET", "/blobs/")
	events = nil
	if _, err := s.Pull(ctx, ref, "", Credentials{}, func(e Event) { events = append(events, e) }); err != nil {
		t.Fatal(err)
	}
	if r.Served("GET", "/blobs/") != before || !slices.Contains(statuses(events), "Status: Image is up to date for "+ref) {
		t.Errorf("second pull fetched again: %q", statuses(events))
	}
}

func TestPullIndex(t *testing.T) {
	ctx := context.Background()
	r := registrytest.New(t, registrytest.OK)
	amd := serve(t, r, "app", "", archiveOf(t, reg("amd", "x")))
	arm := serve(t, r, "app", "", archiveOf(t, reg("arm", "x")))
	amd.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	arm.Platform = &ocispec.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}
	b, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{amd, arm}})
	if err != nil {
		t.Fatal(err)
	}
	top := r.AddManifest("app", "latest", ocispec.MediaTypeImageIndex, b)
	s := newStore(t)
	for platform, file := range map[string]string{"linux/amd64": "amd", "linux/arm64": "arm"} {
		img, err := s.Pull(ctx, r.Host()+"/app@"+top.String(), platform, Credentials{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		fs, err := s.PrepareRootfs(ctx, img, file)
		if err != nil {
			t.Fatal(err)
		}
		if got := tree(t, fs.Lowers[0]); !strings.Contains(got, file) {
			t.Errorf("%s: got %s", platform, got)
		}
		if img.Target.Digest != top {
			t.Errorf("%s: target %s", platform, img.Target.Digest)
		}
	}
	_, err = s.Pull(ctx, r.Host()+"/app", "linux/s390x", Credentials{}, nil)
	if !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "no matching manifest") || !strings.Contains(err.Error(), "linux/arm64") {
		t.Errorf("other platform: %v", err)
	}
	amdImage := Image{Platform: *amd.Platform}
	if err := amdImage.For("linux/arm64"); !errdefs.IsNotFound(err) || amdImage.For("") != nil || amdImage.For("linux/amd64") != nil || !errdefs.IsInvalidArgument(amdImage.For("a/b/c/d")) {
		t.Errorf("For = %v", err)
	}
	_, err = s.Pull(ctx, r.Host()+"/app@"+amd.Digest.String(), "linux/s390x", Credentials{}, nil)
	if !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "is for linux/amd64 only, not for linux/s390x") {
		t.Errorf("other platform, without an index: %v", err)
	}
	for _, ref := range []string{"/app:latest", "/app@" + top.String()} {
		if _, err := s.Pull(ctx, r.Host()+ref, "linux/amd64", Credentials{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Remove(ctx, r.Host()+"/app@"+top.String(), false, func(digest.Digest) string { return "" })
	if want := r.Host() + "/app@" + top.String(); err != nil || len(got) != 1 || got[0].Untagged != want {
		t.Errorf("Remove(%s) = %v, %v", want, got, err)
	}
}

func TestPullCredentials(t *testing.T) {
	ctx := context.Background()
	good := Credentials{Username: registrytest.Username, Password: registrytest.Password}
	for name, mode := range map[string]registrytest.Mode{"basic": registrytest.Basic, "token": registrytest.Token} {
		t.Run(name, func(t *testing.T) {
			r := registrytest.New(t, mode)
			serve(t, r, "app", "latest", archiveOf(t, reg("a", "x")))
			s := newStore(t)
			ref := r.Host() + "/app"
			for _, bad := range []Credentials{{}, {Username: "user", Password: "wrong"}} {
				_, err := s.Pull(ctx, ref, "", bad, nil)
				if !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "pull access denied for "+ref+", repository does not exist or may require 'docker login'") {
					t.Errorf("with %v: %v", bad, err)
				}
			}
			if _, err := s.Pull(ctx, ref, "linux/amd64", good, nil); err != nil {
				t.Error(err)
			}
			if mode == registrytest.Token {
				if _, err := s.Pull(ctx, ref, "linux/amd64", Credentials{IdentityToken: "identity"}, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestPullFailures(t *testing.T) {
	for name, tc := range map[string]struct {
		mode registrytest.Mode
		want string
	}{
		"digest mismatch": {registrytest.Wrong, "digest mismatch"},
		"truncated":       {registrytest.Truncated, "truncated"},
		"server error":    {registrytest.Error, "500 Internal Server Error: disk on fire"},
		"hang":            {registrytest.Hang, "made no progress for"},
		"no answer":       {registrytest.HangHeader, "timeout awaiting response headers"},
		"more announced":  {registrytest.Long, "bytes for sha256:"},
		"less announced":  {registrytest.Short, "bytes for sha256:"},
		"fades":           {registrytest.Fading, "500 Internal Server Error: disk on fire"},
		"elsewhere":       {registrytest.Away, "connection refused"},
		"web page":        {registrytest.Page, "web page"},
		"takes no token":  {registrytest.Loop, "pull access denied"},
		"busy":            {registrytest.Busy, "it asks to wait for 1h0m0s"},
		"other digest":    {registrytest.Lie, "not found"},
		"no token":        {registrytest.TokenPage, "answers without a token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // two of them wait
			ctx := context.Background()
			r := registrytest.New(t, tc.mode)
			r.Elsewhere = "http://127.0.0.1:1"
			serve(t, r, "app", "latest", noise(t, 1, 300_000), noise(t, 2, 200_000))
			s := newStore(t)
			if tc.mode == registrytest.Hang || tc.mode == registrytest.HangHeader {
				// Long enough for a busy machine's answers to what does not hang.
				s.registry.Close()
				s.registry = distribution.New(distribution.Options{Idle: 3 * time.Second})
			}
			_, err := s.Pull(ctx, r.Host()+"/app", "linux/amd64", Credentials{}, nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("Pull = %v, want %q", err, tc.want)
			}
			kept := 0
			switch tc.mode {
			case registrytest.Truncated, registrytest.Error, registrytest.Hang, registrytest.Fading, registrytest.Away:
				kept = 2 // manifest and configuration, for the next attempt
			}
			if blobs, layers, _ := owned(t, s); blobs != kept || layers != 0 {
				t.Errorf("left %d blobs and %d layers", blobs, layers)
			}
			if list, _ := s.List(ctx); len(list) != 1 {
				t.Errorf("left %v", list)
			}
			// It works once the registry does, and what came is not fetched again.
			r.Set(registrytest.OK)
			s.registry.Close()
			s.registry = distribution.New(distribution.Options{})
			img, err := s.Pull(ctx, r.Host()+"/app", "linux/amd64", Credentials{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			fs, err := s.PrepareRootfs(ctx, img, "c")
			if err != nil {
				t.Fatal(err)
			}
			if (tc.mode == registrytest.Hang || tc.mode == registrytest.Fading) && r.Served("RANGE", "/blobs/") == 0 {
				t.Error("the retry did not go on where the first attempt stopped")
			}
			if got := tree(t, fs.Lowers[1]); got != `-rw-r--r-- noise 0:0 "300000 bytes"` {
				t.Errorf("after the retry:\n%s", got)
			}
			if err := s.RemoveRootfs(ctx, "c"); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Remove(ctx, r.Host()+"/app", false, func(digest.Digest) string { return "" }); err != nil {
				t.Fatal(err)
			}
			settle(t, s)
			if blobs, layers, _ := owned(t, s); blobs != 0 || layers != 0 {
				t.Errorf("kept %d blobs and %d layers for ever", blobs, layers)
			}
		})
	}
}

func TestPullUnreachable(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	_, err := s.Pull(ctx, "127.0.0.1:1/app", "", Credentials{}, nil)
	if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "connect: connection refused") || strings.Contains(err.Error(), "\n") {
		t.Errorf("refused: %v", err)
	}
	r := registrytest.New(t, registrytest.OK)
	_, err = s.Pull(ctx, r.Host()+"/nope:1", "", Credentials{}, nil)
	if want := "manifest for " + r.Host() + "/nope:1 not found: manifest unknown: manifest unknown"; !errdefs.IsNotFound(err) || err.Error() != want {
		t.Errorf("unknown: %v, want %s", err, want)
	}
	for _, ref := range []string{"host", "host:latest", "docker.io/library/host", "UPPER", ""} {
		if _, err := s.Pull(ctx, ref, "", Credentials{}, nil); !errdefs.IsInvalidArgument(err) {
			t.Errorf("Pull(%q) = %v", ref, err)
		}
	}
	r.Set(registrytest.HangHeader)
	ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, err := s.Pull(ctx, r.Host()+"/app", "", Credentials{}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestPullOnce(t *testing.T) {
	ctx := context.Background()
	r := registrytest.New(t, registrytest.OK)
	serve(t, r, "app", "latest", threeLayers(t)...)
	serve(t, r, "other", "latest", threeLayers(t)[0], noise(t, 9, 1000))
	s := newStore(t)
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			repo := []string{"/app", "/other"}[i%2]
			if _, err := s.Pull(ctx, r.Host()+repo, "linux/amd64", Credentials{}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	settle(t, s)
	// app: 3 layers; other: 1 of its own; 2 configurations, which may race.
	if n := r.Served("GET", "/blobs/"); n < 6 || n > 4+8 {
		t.Errorf("%d blobs fetched", n)
	}
	if blobs, layers, _ := owned(t, s); blobs != 8 || layers != 4 {
		t.Errorf("%d blobs and %d layers", blobs, layers)
	}
}

func TestPush(t *testing.T) {
	ctx := context.Background()
	r := registrytest.New(t, registrytest.OK)
	s := newStore(t)
	if _, err := s.Load(ctx, bytes.NewReader(dockerArchive(t, "app:1", threeLayers(t)...)), nil); err != nil {
		t.Fatal(err)
	}
	ref := r.Host() + "/team/app:2"
	if _, _, err := s.Push(ctx, ref, "", Credentials{}, nil); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "An image does not exist locally with the tag") {
		t.Errorf("push of nothing: %v", err)
	}
	if err := s.Tag(ctx, "app:1", ref); err != nil {
		t.Fatal(err)
	}
	var events []Event
	d, size, err := s.Push(ctx, ref, "", Credentials{}, func(e Event) { events = append(events, e) })
	if err != nil || size == 0 {
		t.Fatal(err)
	}
	if !slices.Contains(statuses(events), "Pushed") {
		t.Errorf("events %q", statuses(events))
	}
	events = nil
	if _, _, err := s.Push(ctx, ref, "", Credentials{}, func(e Event) { events = append(events, e) }); err != nil {
		t.Fatal(err)
	}
	if got := statuses(events); !slices.Contains(got, "Layer already exists") || slices.Contains(got, "Pushed") {
		t.Errorf("second push: %q", got)
	}
	img, _ := s.Get(ctx, ref)
	other := newStore(t)
	back, err := other.Pull(ctx, ref, "linux/amd64", Credentials{}, nil)
	if err != nil || back.ID != img.ID || back.Target.Digest != d {
		t.Errorf("pulled back %v %v, %v", back.ID, back.Target.Digest, err)
	}
	r.Set(registrytest.Basic)
	if _, _, err := s.Push(ctx, ref, "", Credentials{}, nil); !errdefs.IsPermissionDenied(err) {
		t.Errorf("push without credentials: %v", err)
	}
}
