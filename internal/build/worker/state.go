package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/buildkit/util/leaseutil"

	"github.com/berth-containers/berth/internal/atomicfile"
	"github.com/berth-containers/berth/internal/image/depot"
	"github.com/berth-containers/berth/internal/sys/syncfs"
)

// What the file "state" of a cache says: that all of it is on the disk, or which
// boot of the machine has it in memory in part.
const (
	stateFile = "state"
	settled   = "settled"
	bootFile  = "/proc/sys/kernel/random/boot_id"
)

// databases are those of the cache. They are not flushed as they change.
var databases = [...]string{"metadata.db", "cache.db", "history.db"}

// cache is a cache's directory.
type cache struct{ dir string }

// open says if what is there can be used: a machine that went down may have lost
// any part of it, and of the layers. fresh is that nothing is there now.
func (c cache) open() (fresh bool, err error) {
	boot, err := os.ReadFile(bootFile)
	if err != nil {
		return false, fmt.Errorf("learn which boot this is: %w", err)
	}
	now := strings.TrimSpace(string(boot))
	text, err := os.ReadFile(c.file(stateFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("read the state of the cache: %w", err)
	}
	if was := string(text); was != settled && was != now {
		for _, name := range databases {
			if err := os.Remove(c.file(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return false, fmt.Errorf("forget a cache that the machine lost in part: %w", err)
			}
		}
	}
	if _, err := os.Stat(c.file(databases[0])); errors.Is(err, os.ErrNotExist) {
		fresh = true
	}
	return fresh, c.note(now)
}

// settle makes a cache whose databases are closed outlive the machine.
func (c cache) settle() error {
	if err := syncfs.Sync(c.dir); err != nil {
		return err
	}
	return c.note(settled)
}

func (c cache) note(text string) error {
	if err := atomicfile.Write(c.file(stateFile), []byte(text), 0o600); err != nil {
		return fmt.Errorf("note the state of the cache: %w", err)
	}
	return nil
}

func (c cache) file(name string) string { return filepath.Join(c.dir, name) }

// release drops all that a cache owned which is gone.
func release(ctx context.Context, owners *leaseutil.Manager) error {
	list, err := owners.List(ctx)
	if err != nil {
		return fmt.Errorf("list what the cache owned: %w", err)
	}
	for _, l := range list {
		if _, engines := l.Labels[depot.LeaseLabel]; engines {
			continue
		}
		if err := owners.Delete(ctx, l); err != nil {
			return fmt.Errorf("release what the cache owned: %w", err)
		}
	}
	return nil
}
