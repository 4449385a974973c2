package command

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/spf13/pflag"

	"github.com/berth-containers/berth/internal/atomicfile"
	"github.com/berth-containers/berth/internal/registry/server"
	"github.com/berth-containers/berth/internal/registry/store"
)

// options are those of more than one command.
type options struct {
	dataDir string
	rights  string

	bucket, region, endpoint, prefix string
	pathStyle, redirect              bool

	cert, key, clientCA string
}

func (o *options) common(f *pflag.FlagSet) {
	f.StringVar(&o.dataDir, "data-dir", "/var/lib/berth-registry", "where the registry keeps what it has")
	f.StringVar(&o.rights, "rights", "", "file that says who may do what (default: rights in the data directory)")
	f.StringVar(&o.bucket, "s3-bucket", "", "keep images in this S3 bucket; the keys are in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or come from the machine's role")
	f.StringVar(&o.region, "s3-region", "us-east-1", "the bucket's region")
	f.StringVar(&o.endpoint, "s3-endpoint", "", "URL of an S3 server other than Amazon's")
	f.StringVar(&o.prefix, "s3-prefix", "", "folder in the bucket")
	f.BoolVar(&o.pathStyle, "s3-path-style", false, "put the bucket's name in the path, as most S3 servers other than Amazon's want it")
	f.BoolVar(&o.redirect, "s3-redirect", false, "let clients get blobs from the bucket itself, by signed URLs")
	f.StringVar(&o.cert, "tls-cert", "", "file with the certificate, and those that sign it")
	f.StringVar(&o.key, "tls-key", "", "file with the certificate's key")
	f.StringVar(&o.clientCA, "tls-client-ca", "", "file with the authorities whose client certificates are taken; the common name is the user")
}

func (o *options) rightsFile() string {
	if o.rights != "" {
		return o.rights
	}
	return filepath.Join(o.dataDir, "rights")
}

func (o *options) socket() string { return filepath.Join(o.dataDir, "control.sock") }

// prepare makes the data directory.
func (o *options) prepare() error {
	if err := os.MkdirAll(o.dataDir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w; choose another with --data-dir", err)
	}
	return nil
}

func (o *options) storage() (server.Storage, error) {
	if o.bucket == "" {
		if o.endpoint != "" || o.prefix != "" || o.redirect {
			return server.Storage{}, errdefs.ErrInvalidArgument.WithMessage("an --s3-… option needs --s3-bucket")
		}
		return server.Storage{Driver: "filesystem", Parameters: map[string]any{"rootdirectory": filepath.Join(o.dataDir, "data")}}, nil
	}
	p := map[string]any{"bucket": o.bucket, "region": o.region, "rootdirectory": o.prefix, "forcepathstyle": o.pathStyle}
	if o.endpoint != "" {
		u, err := url.Parse(o.endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return server.Storage{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("--s3-endpoint %q is no URL such as https://s3.example.org", o.endpoint))
		}
		p["regionendpoint"], p["secure"] = o.endpoint, u.Scheme == "https"
	}
	// The library asks for the role of the machine if there are no keys.
	p["accesskey"], p["secretkey"] = os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY")
	p["sessiontoken"] = os.Getenv("AWS_SESSION_TOKEN")
	return server.Storage{Driver: "s3aws", Parameters: p, Redirect: o.redirect}, nil
}

func (o *options) open(ctx context.Context) (*store.Store, error) {
	s, err := o.storage()
	if err != nil {
		return nil, err
	}
	return server.OpenStorage(ctx, s)
}

// lock keeps other servers and collections away from the data until the
// process ends. Unavailable: somebody has it.
func (o *options) lock() (*os.File, error) {
	path := filepath.Join(o.dataDir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("another berth-registry uses %s; stop it, or choose another --data-dir", o.dataDir))
		}
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	return f, nil
}

const secretBytes = 32

// secret is made once. Several servers on one bucket need the same file.
func (o *options) secret() ([]byte, error) {
	path := filepath.Join(o.dataDir, "secret")
	b, err := os.ReadFile(path)
	if err == nil && len(b) >= secretBytes {
		return b, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the secret: %w", err)
	}
	b = make([]byte, secretBytes)
	_, _ = rand.Read(b) // never fails, from Go 1.24
	if err := atomicfile.Write(path, b, 0o600); err != nil {
		return nil, fmt.Errorf("write the secret: %w", err)
	}
	return b, nil
}

func isLoopback(address string) bool {
	host := address
	if i := strings.LastIndexByte(address, ':'); i >= 0 {
		host = strings.Trim(address[:i], "[]")
	}
	return host == "localhost" || strings.HasPrefix(host, "127.") || host == "::1"
}
