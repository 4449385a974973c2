package command

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/registry/rights"
	"github.com/berth-containers/berth/internal/registry/server"
	"github.com/berth-containers/berth/internal/registry/store"
)

func newCollect(o *options) *cobra.Command {
	var opt store.CollectOptions
	cmd := &cobra.Command{
		Use: "gc", Short: "Collect garbage, also while the registry serves", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := o.collect(cmd.Context(), opt)
			if err != nil {
				return err
			}
			verb := "removed"
			if opt.DryRun {
				verb = "would remove"
			}
			printf(cmd.OutOrStdout(), "%s %d blobs (%s), %d manifests, %d links, %d uploads; %d blobs stay in %d repositories, %d are young or needed by a push\n",
				verb, report.Blobs, units.HumanSize(float64(report.Bytes)), report.Manifests, report.Links, report.Uploads, report.Kept, report.Repositories, report.InUse)
			for _, m := range report.Missing {
				printf(cmd.ErrOrStderr(), "missing: %s; push it again, or delete it\n", m)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVar(&opt.DryRun, "dry-run", false, "only tell what would go")
	f.BoolVar(&opt.Untagged, "untagged", false, "also collect manifests that no tag leads to")
	f.DurationVar(&opt.Grace, "grace", time.Hour, "what is younger, or was asked for since then, stays")
	f.DurationVar(&opt.UploadAge, "uploads", 24*time.Hour, "uploads that nothing was added to for this long are given up")
	return cmd
}

// collect asks the server of this data directory, or does it alone if none runs.
func (o *options) collect(ctx context.Context, opt store.CollectOptions) (store.CollectReport, error) {
	if err := o.prepare(); err != nil {
		return store.CollectReport{}, err
	}
	lock, err := o.lock()
	if errdefs.IsUnavailable(err) {
		return o.askServer(ctx, opt)
	}
	if err != nil {
		return store.CollectReport{}, err
	}
	defer lock.Close()
	s, err := o.open(ctx)
	if err != nil {
		return store.CollectReport{}, err
	}
	return s.Collect(ctx, opt)
}

func (o *options) askServer(ctx context.Context, opt store.CollectOptions) (store.CollectReport, error) {
	body, err := json.Marshal(opt)
	if err != nil {
		return store.CollectReport{}, err
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", o.socket())
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://registry/collect", bytes.NewReader(body))
	if err != nil {
		return store.CollectReport{}, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return store.CollectReport{}, fmt.Errorf("ask the registry that runs: %w", err)
	}
	defer resp.Body.Close()
	var answer server.CollectAnswer
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return store.CollectReport{}, fmt.Errorf("read the answer of the registry that runs: %w", err)
	}
	if answer.Error != "" {
		return answer.Report, errors.New(answer.Error)
	}
	return answer.Report, nil
}

// checker prints a line for each thing that is right or wrong.
type checker struct {
	cmd *cobra.Command
	bad int
}

func (c *checker) ok(format string, args ...any) {
	printf(c.cmd.OutOrStdout(), "ok    "+format+"\n", args...)
}

func (c *checker) wrong(format string, args ...any) {
	c.bad++
	printf(c.cmd.OutOrStdout(), "WRONG "+format+"\n", args...)
}

func newCheck(o *options) *cobra.Command {
	var deep bool
	cmd := &cobra.Command{
		Use: "check", Short: "Test the storage, the rights file, the certificates and what is kept", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := &checker{cmd: cmd}
			c.rights(o)
			c.certificates(o, time.Now())
			if err := c.storage(cmd.Context(), o, deep); err != nil {
				c.wrong("storage: %v", err)
			}
			if c.bad > 0 {
				return fmt.Errorf("%d things are wrong", c.bad)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&deep, "deep", false, "read every blob and compute its digest")
	return cmd
}

func (c *checker) rights(o *options) {
	entries, err := rights.List(o.rightsFile())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.ok("rights: no file %s, everybody may do everything", o.rightsFile())
	case err != nil:
		c.wrong("rights: %v", err)
	default:
		c.ok("rights: %d names in %s", len(entries), o.rightsFile())
	}
}

// soon is when a certificate should have been renewed.
const soon = 14 * 24 * time.Hour

func (c *checker) certificates(o *options, now time.Time) {
	if o.cert == "" && o.key == "" {
		c.ok("tls: not used")
		return
	}
	pair, err := tls.LoadX509KeyPair(o.cert, o.key)
	if err != nil {
		c.wrong("tls: %v", err)
		return
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	switch {
	case err != nil:
		c.wrong("tls: %v", err)
	case now.After(leaf.NotAfter) || now.Before(leaf.NotBefore):
		c.wrong("tls: the certificate is valid from %s to %s", leaf.NotBefore.Format(time.DateOnly), leaf.NotAfter.Format(time.DateOnly))
	case leaf.NotAfter.Sub(now) < soon:
		c.wrong("tls: the certificate ends on %s; renew it", leaf.NotAfter.Format(time.DateOnly))
	case len(leaf.DNSNames)+len(leaf.IPAddresses) == 0:
		c.wrong("tls: the certificate has no subject alternative name, so clients refuse it")
	default:
		c.ok("tls: for %v %v until %s", leaf.DNSNames, leaf.IPAddresses, leaf.NotAfter.Format(time.DateOnly))
	}
	if o.clientCA == "" {
		return
	}
	if _, err := readAuthorities(o.clientCA); err != nil {
		c.wrong("tls: %v", err)
		return
	}
	c.ok("tls: clients' authorities in %s", o.clientCA)
}

func (c *checker) storage(ctx context.Context, o *options, deep bool) error {
	if err := o.prepare(); err != nil {
		return err
	}
	s, err := o.open(ctx)
	if err != nil {
		return err
	}
	if err := s.Probe(ctx); err != nil {
		return err
	}
	c.ok("storage: written, read and removed")
	if o.bucket == "" {
		var fs syscall.Statfs_t
		if err := syscall.Statfs(o.dataDir, &fs); err != nil {
			return os.NewSyscallError("statfs", err)
		}
		free := float64(fs.Bavail) * float64(fs.Bsize)
		if fs.Bavail*20 < fs.Blocks {
			c.wrong("storage: only %s are free in %s", units.HumanSize(free), o.dataDir)
		} else {
			c.ok("storage: %s are free", units.HumanSize(free))
		}
	}
	report, err := s.Verify(ctx, deep, func(problem string) { c.wrong("%s", problem) })
	if err != nil {
		return err
	}
	c.ok("content: %d repositories, %d manifests, %d blobs, %s looked at", report.Repositories, report.Manifests, report.Blobs, units.HumanSize(float64(report.Bytes)))
	return nil
}
