package build

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"

	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/terminal"
)

// before is what an instruction found when it began.
type before struct {
	mounts []gateway.Mount
	meta   *pb.Meta
	net    pb.NetMode
}

// state is nil for what has none that one could enter.
func state(failed *errdefs.SolveError) *before {
	if failed.Op == nil {
		return nil
	}
	switch op := failed.Op.Op.(type) {
	case *pb.Op_Exec:
		if len(failed.InputIDs) < len(op.Exec.Mounts) {
			return nil
		}
		b := &before{meta: op.Exec.Meta, net: op.Exec.Network}
		for i, m := range op.Exec.Mounts {
			b.mounts = append(b.mounts, gateway.Mount{
				Selector: m.Selector, Dest: m.Dest, ResultID: failed.InputIDs[i], Readonly: m.Readonly,
				MountType: m.MountType, CacheOpt: m.CacheOpt, SecretOpt: m.SecretOpt, SSHOpt: m.SSHOpt,
			})
		}
		return b
	case *pb.Op_File:
		if len(op.File.Actions) == 0 || int(op.File.Actions[0].Input) >= len(failed.InputIDs) || op.File.Actions[0].Input < 0 {
			return nil
		}
		root := gateway.Mount{Dest: "/", MountType: pb.MountType_BIND, ResultID: failed.InputIDs[op.File.Actions[0].Input]}
		return &before{meta: &pb.Meta{Cwd: "/", Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}}, mounts: []gateway.Mount{root}}
	}
	return nil
}

// shell lets the user look around; what is changed there is lost with it.
func (o *options) shell(ctx context.Context, e *env.Env, g gateway.Client, failed *errdefs.SolveError) {
	if err := enter(ctx, e, g, failed); err != nil {
		fmt.Fprintf(e.Err, "No shell in the state before it: %s\n", message(err))
	}
}

func enter(ctx context.Context, e *env.Env, g gateway.Client, failed *errdefs.SolveError) error {
	b := state(failed)
	if b == nil {
		return fmt.Errorf("there is no root filesystem yet: %w", failed.Err)
	}
	c, err := g.NewContainer(ctx, gateway.NewContainerRequest{Mounts: b.mounts, NetMode: b.net})
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		_ = c.Release(ctx)
	}()
	what := failed.Err.Error()
	if args := b.meta.Args; len(args) > 0 {
		what = strings.Join(args[slices.Index(args, "-c")+1:], " ")
	}
	fmt.Fprintf(e.Err, "\nThis is the state before: %s\nLeave it by exit; what is changed here is lost.\n", what)
	screen, err := terminal.Raw(terminal.Of(e.In))
	if err != nil {
		return err
	}
	defer screen()
	keys, give := io.Pipe()
	go func() { _, _ = io.Copy(give, e.In) }() // ends with the program: nothing can take a read of a terminal back
	process, err := c.Start(ctx, gateway.StartRequest{
		Args: []string{"/bin/sh"}, Env: append(slices.Clone(b.meta.Env), "TERM=xterm"), User: b.meta.User, Cwd: b.meta.Cwd, Tty: true,
		Stdin: keys, Stdout: openForEver{e.Out}, Stderr: openForEver{e.Err},
	})
	if err != nil {
		return err
	}
	stop := terminal.WatchSize(terminal.Of(e.Out), func(width, height uint) {
		_ = process.Resize(ctx, gateway.WinSize{Rows: uint32(height), Cols: uint32(width)})
	})
	defer stop()
	// The shell's own exit status says nothing about the build.
	_ = process.Wait()
	return nil
}
