package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/config"
	"github.com/berth-containers/berth/internal/shim"
	"github.com/berth-containers/berth/internal/sys/cgroup"
)

// openShim joins the shim of the exec root, or starts one, which ends again if
// the start of the engine fails.
func (d *daemon) openShim(ctx context.Context, binary string, cfg config.Config, log *slog.Logger) (*shim.Client, func(context.Context) error, error) {
	var made atomic.Bool
	join := func(ctx context.Context) (*shim.Client, error) {
		client, err := shim.Dial(ctx, shim.Socket(cfg.ExecRoot))
		if errdefs.IsUnavailable(err) && underSystemd() && cfg.ExecRoot == unitRoot {
			if client, err = shimFromUnit(ctx, cfg.ExecRoot); err != nil {
				log.Warn("the shim's unit cannot be had; the engine starts a shim itself", "unit", shimUnit, "error", err)
				err = errdefs.ErrUnavailable
			}
		}
		if errdefs.IsUnavailable(err) {
			client, err = shim.Spawn(ctx, binary, cfg.ExecRoot, "--cgroup-parent", cfg.CgroupParent)
			made.Store(err == nil)
		}
		return client, err
	}
	client, err := join(ctx)
	if err != nil {
		return nil, nil, err
	}
	d.closers.Add(func(ctx context.Context) error {
		removeParent(ctx, client, cfg.CgroupParent, log)
		if d.opened || !made.Load() {
			return client.Close()
		}
		err := client.Shutdown(ctx)
		if errdefs.IsFailedPrecondition(err) || errdefs.IsUnavailable(err) {
			err = nil // it has containers, or is gone
		}
		return errors.Join(err, client.Close())
	})
	var turn sync.Mutex // verbs and the engine's watch may miss the shim at the same moment
	respawn := func(ctx context.Context) error {
		turn.Lock()
		defer turn.Unlock()
		next, err := join(ctx)
		if err != nil {
			return err
		}
		return next.Close() // the engine's own client dials anew
	}
	return client, respawn, nil
}

// cleanupLimit is how long the shim may take to remove the cgroup of a container
// that has just ended.
const cleanupLimit = time.Second

// removeParent removes the cgroup that containers' cgroups are made in, unless
// one of them runs.
func removeParent(ctx context.Context, client *shim.Client, path string, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, cleanupLimit)
	defer cancel()
	list, err := client.List(ctx)
	wait := err == nil && !slices.ContainsFunc(list, func(s shim.Status) bool { return s.Exit == nil })
	for {
		err := cgroup.Open(path).RemoveEmpty()
		if err != nil && !errdefs.IsConflict(err) {
			log.Warn("the cgroup parent stays", "error", err)
		}
		if !errdefs.IsConflict(err) || !wait {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}
