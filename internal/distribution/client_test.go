package distribution

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/berth-containers/berth/internal/distribution/registrytest"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func repository(t *testing.T, o Options, ref string, creds Credentials) *Repository {
	t.Helper()
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		t.Fatal(err)
	}
	c := New(o)
	t.Cleanup(c.Close)
	r, err := c.Repository(context.Background(), named, creds)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func layerOf(b []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(b), Size: int64(len(b))}
}

func TestFetchAt(t *testing.T) {
	r := registrytest.New(t, registrytest.OK)
	blob := []byte(strings.Repeat("0123456789", 5000))
	r.AddBlob(blob)
	repo := repository(t, Options{}, r.Host()+"/app", Credentials{})
	for _, offset := range []int64{0, 7, int64(len(blob)) - 1, int64(len(blob))} {
		body, err := repo.Fetch(context.Background(), layerOf(blob), offset)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(body)
		if err != nil || string(got) != string(blob[offset:]) {
			t.Errorf("from %d: %d bytes, %v", offset, len(got), err)
		}
		body.Close()
	}
}

func TestFetchAll(t *testing.T) {
	r := registrytest.New(t, registrytest.OK)
	blob := []byte("small")
	repo := repository(t, Options{}, r.Host()+"/app", Credentials{})
	if _, err := repo.FetchAll(context.Background(), layerOf(blob), 100); !errdefs.IsNotFound(err) {
		t.Errorf("a blob that is not there: %v", err)
	}
	r.AddBlob(blob)
	if got, err := repo.FetchAll(context.Background(), layerOf(blob), 100); err != nil || string(got) != "small" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := repo.FetchAll(context.Background(), layerOf(blob), 4); !errdefs.IsInvalidArgument(err) {
		t.Errorf("above the limit: %v", err)
	}
	lie := layerOf(blob)
	r.Blobs[lie.Digest] = []byte("smoll")
	if _, err := repo.FetchAll(context.Background(), lie, 100); !errdefs.IsDataLoss(err) {
		t.Errorf("other bytes: %v", err)
	}
}

// A registry that stops ends in an error that names it, wherever it stops.
func TestIdle(t *testing.T) {
	blob := []byte(strings.Repeat("0123456789", 50_000))
	for name, mode := range map[string]registrytest.Mode{"in a body": registrytest.Hang, "before the header": registrytest.HangHeader} {
		t.Run(name, func(t *testing.T) {
			r := registrytest.New(t, mode)
			r.AddBlob(blob)
			repo := repository(t, Options{Idle: 200 * time.Millisecond}, r.Host()+"/app", Credentials{})
			body, err := repo.Fetch(context.Background(), layerOf(blob), 0)
			if err == nil {
				_, err = io.ReadAll(body)
				body.Close()
			}
			if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), r.Host()) {
				t.Errorf("error %v", err)
			}
		})
	}
}
