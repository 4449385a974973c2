package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/runtime"
	"github.com/berth-containers/berth/internal/runtime/command/criu"
	"github.com/berth-containers/berth/internal/runtime/command/state"
	"github.com/berth-containers/berth/internal/sys/cgroup"
	"github.com/berth-containers/berth/internal/sys/pidfd"
)

// criuFlags are those that checkpoint and restore share.
type criuFlags struct {
	images, work, manage *string
	options              *[]string // of criu's
}

func newCriuFlags(flags *flag.FlagSet) criuFlags {
	f := criuFlags{
		images:  flags.String("image-path", "checkpoint", "directory of the images"),
		work:    flags.String("work-path", "", "directory of criu's log; the images' if not set"),
		manage:  flags.String("manage-cgroups-mode", "soft", "what criu does with cgroups: ignore, soft, full or strict"),
		options: &[]string{},
	}
	f.pass(flags, "tcp-established", "--tcp-established", "keep open TCP connections")
	f.pass(flags, "ext-unix-sk", "--ext-unix-sk", "allow unix sockets to the outside")
	f.pass(flags, "shell-job", "--shell-job", "allow a terminal of the outside")
	f.pass(flags, "file-locks", "--file-locks", "keep file locks")
	f.pass(flags, "auto-dedup", "--auto-dedup", "drop pages from images as they are used")
	f.pass(flags, "lazy-pages", "--lazy-pages", "move memory when it is needed")
	flags.Func("empty-ns", "leave a namespace empty: network", func(v string) error {
		if v != "network" {
			return fmt.Errorf("%q is not network", v)
		}
		*f.options = append(*f.options, "--empty-ns", "net")
		return nil
	})
	return f
}

// pass defines a flag that is one of criu's.
func (f criuFlags) pass(flags *flag.FlagSet, name, option, usage string) {
	flags.BoolFunc(name, usage, func(v string) error {
		on, err := strconv.ParseBool(v)
		if on {
			*f.options = append(*f.options, option)
		}
		return err
	})
}

func (f criuFlags) value(flags *flag.FlagSet, name, option, usage string) {
	flags.Func(name, usage, func(v string) error {
		*f.options = append(*f.options, option, v)
		return nil
	})
}

// of completes the options for a container.
func (f criuFlags) of(spec *specs.Spec, rootfs string) (o criu.Options, err error) {
	if err := oneOf("--manage-cgroups-mode", *f.manage, "ignore", "soft", "full", "strict"); err != nil {
		return o, err
	}
	if spec.Process != nil && spec.Process.Terminal {
		return o, errdefs.ErrNotImplemented.WithMessage("process.terminal is true: a container with a terminal cannot be checkpointed")
	}
	if spec.Linux.IntelRdt != nil {
		return o, errdefs.ErrNotImplemented.WithMessage("linux.intelRdt is set: criu restores no groups of Intel RDT; such a container cannot be checkpointed")
	}
	for _, ns := range spec.Linux.Namespaces {
		if ns.Path != "" {
			return o, errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("linux.namespaces: the %s namespace is joined by path %s; such a container cannot be checkpointed", ns.Type, ns.Path))
		}
	}
	if o.Images, err = filepath.Abs(*f.images); err != nil {
		return o, err
	}
	o.Work = o.Images
	if *f.work != "" {
		if o.Work, err = filepath.Abs(*f.work); err != nil {
			return o, err
		}
	}
	o.Root, o.Mounts, o.Masked, o.More = rootfs, spec.Mounts, spec.Linux.MaskedPaths, append(*f.options, "--manage-cgroups="+*f.manage)
	return o, nil
}

func runCheckpoint(e *env, flags *flag.FlagSet, args []string) error {
	f := newCriuFlags(flags)
	running := flags.Bool("leave-running", false, "let the container run on")
	pre := flags.Bool("pre-dump", false, "only copy the memory; the container runs on")
	f.pass(flags, "tcp-skip-in-flight", "--skip-in-flight", "leave out TCP connections that are just made")
	f.value(flags, "parent-path", "--prev-images-dir", "images of the pre-dump before, relative to --image-path")
	f.value(flags, "status-fd", "--status-fd", "descriptor to tell that the page server is ready")
	flags.Func("page-server", "ADDRESS:PORT of the page server", func(v string) error {
		address, port, ok := strings.Cut(v, ":")
		if !ok {
			return fmt.Errorf("%q is not ADDRESS:PORT", v)
		}
		*f.options = append(*f.options, "--page-server", "--address", address, "--port", port)
		return nil
	})
	id, s, err := e.named(flags, args)
	if err != nil {
		return err
	}
	if status := s.Status(); status != specs.StateRunning && status != state.Paused {
		return fmt.Errorf("cannot checkpoint container %s: it is %s", id, status)
	}
	spec, err := s.Config()
	if err != nil {
		return err
	}
	o, err := f.of(spec, s.Rootfs)
	if err != nil {
		return err
	}
	if *running && !*pre {
		o.More = append(o.More, "--leave-running")
	}
	if err := criu.Dump(o, s.Process.Pid, *pre); err != nil {
		return err
	}
	if *running || *pre {
		return nil
	}
	return e.destroy(s)
}

func runRestore(e *env, flags *flag.FlagSet, args []string) error {
	f := newCriuFlags(flags)
	bundle := stringFlag(flags, "bundle", "b", ".", "directory with config.json")
	file := flags.String("pid-file", "", "file for the process ID")
	detach := boolFlag(flags, "detach", "d", "do not wait for the container")
	orphans := flags.Bool("no-subreaper", false, "leave orphans of the container to the host's first process")
	f.value(flags, "lsm-profile", "--lsm-profile", "TYPE:LABEL of the security module")
	f.value(flags, "lsm-mount-context", "--lsm-mount-context", "SELinux's label for mounts")
	id, err := one(flags, args)
	if err != nil {
		return err
	}
	if e.systemd {
		return errdefs.ErrNotImplemented.WithMessage("--systemd-cgroup: a container cannot be restored into a cgroup of systemd's; restore it without")
	}
	create := runtime.CreateOptions{ID: id}
	s, text, err := e.prepare(&create, *bundle)
	if err != nil {
		return err
	}
	o, err := f.of(create.Spec, s.Rootfs)
	if err != nil {
		return err
	}
	if *f.manage != "ignore" {
		o.More = append(o.More, "--cgroup-root", s.Cgroup)
	}
	if !*detach && !*orphans {
		if err := adopt(); err != nil {
			return err
		}
	}
	if err := e.take(s); err != nil {
		return err
	}
	if err := restore(s, o, create.Spec, text); err != nil {
		return errors.Join(err, e.destroy(s))
	}
	note := pidFile(*file)
	if err = note.write(s.Process.Pid); err == nil {
		err = note.show()
	}
	if err != nil {
		return errors.Join(err, note.forget(), e.destroy(s))
	}
	if *detach {
		return nil
	}
	process, err := pidfd.Open(s.Process.Pid)
	if err != nil {
		return errors.Join(err, e.destroy(s))
	}
	e.code, err = attend(s.Process.Pid, process, nil)
	return errors.Join(err, e.destroy(s))
}

// restore thaws the container's processes, puts them into its cgroup and lets
// them go on.
func restore(s *state.State, o criu.Options, spec *specs.Spec, config []byte) error {
	group, _, err := cgroup.Create(s.Cgroup, cgroup.Options{Resources: spec.Linux.Resources})
	if err != nil {
		return fmt.Errorf("create cgroup %s: %w", s.Cgroup, err)
	}
	pid, err := criu.Restore(o)
	if err != nil {
		return errors.Join(err, group.Remove(context.Background()))
	}
	if err := keep(s, pid, config, false); err != nil {
		return err
	}
	if err := criu.RestoreMounts(o.Images, pid); err != nil {
		return err
	}
	pids := append([]int{pid}, descendants(pid)...)
	if err := move(group, pids); err != nil {
		return err
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil && err != syscall.ESRCH {
			return fmt.Errorf("let process %d go on: %w", pid, err)
		}
	}
	return nil
}

// descendants are the children of a stopped tree, and theirs.
func descendants(pid int) []int {
	var list []int
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range threads {
		text, _ := os.ReadFile(file)
		for _, word := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				list = append(append(list, child), descendants(child)...)
			}
		}
	}
	return list
}

// move puts whole processes into the group.
func move(group *cgroup.Group, pids []int) error {
	doors, err := group.Doors()
	if err != nil {
		return err
	}
	dirs := []string{}
	for _, f := range doors {
		dirs = append(dirs, filepath.Dir(f.Name()))
		f.Close()
	}
	if dir := group.Dir(); dir != "" {
		dirs = append(dirs, dir)
	}
	for _, dir := range dirs {
		for _, pid := range pids {
			if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
				return fmt.Errorf("move process %d into the container's cgroup: %w", pid, err)
			}
		}
	}
	return nil
}
