// Package criu has the program criu freeze a container's processes into files
// and thaw them. It speaks the program's command line: its protocol would cost
// each start of the runtime what protobuf costs.
//
// criu leaves its images in a directory of the caller's, and its log in the work
// directory. A dump that is killed leaves the container running, or frozen by
// criu until its delete.
package criu

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// stdio is the file beside the images that says what descriptors 0 to 2 were.
const stdio = "descriptors"

// Options are what dump and restore have in common.
type Options struct {
	Images, Work string
	Root         string // of the file system
	Mounts       []specs.Mount
	More         []string // further options of criu's
}

// Dump freezes the tree of the process pid; pre only copies its memory.
func Dump(o Options, pid int, pre bool) error {
	args := append(o.common(), "--tree", strconv.Itoa(pid), "--link-remap")
	for _, m := range binds(o.Mounts) {
		args = append(args, "--external", fmt.Sprintf("mnt[%s]:%s", m.Destination, m.Destination))
	}
	if err := os.MkdirAll(o.Images, 0o700); err != nil {
		return err
	}
	if pre {
		return o.run("pre-dump", "dump.log", args, nil)
	}
	var names []string
	for fd := range 3 {
		name, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
		if err != nil {
			return fmt.Errorf("read the container's stdio: %w", err)
		}
		names = append(names, name)
	}
	if err := os.WriteFile(filepath.Join(o.Images, stdio), []byte(strings.Join(names, "\n")), 0o600); err != nil {
		return err
	}
	return o.run("dump", "dump.log", args, nil)
}

// Restore thaws a tree, which is stopped then, with its pipes of stdio replaced
// by ours. The process whose ID it returns is a child of the caller.
func Restore(o Options) (int, error) {
	names, err := os.ReadFile(filepath.Join(o.Images, stdio))
	if err != nil {
		return 0, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("--image-path %s holds no checkpoint of berth-runtime: %v", o.Images, err))
	}
	pidFile := filepath.Join(o.Work, "restored.pid")
	if err := os.Remove(pidFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	args := append(o.common(), "--restore-detached", "--restore-sibling", "--leave-stopped", "--pidfile", pidFile)
	for _, m := range binds(o.Mounts) {
		args = append(args, "--external", fmt.Sprintf("mnt[%s]:%s", m.Destination, m.Source))
	}
	var files []*os.File
	for fd, name := range strings.Split(string(names), "\n") {
		// The program has the first of the files as 3.
		if strings.HasPrefix(name, "pipe:") && fd < 3 {
			args = append(args, "--inherit-fd", fmt.Sprintf("fd[%d]:%s", 3+len(files), name))
			files = append(files, []*os.File{os.Stdin, os.Stdout, os.Stderr}[fd])
		}
	}
	if err := o.run("restore", "restore.log", args, files); err != nil {
		return 0, err
	}
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", pidFile, err)
	}
	return pid, os.Remove(pidFile)
}

func (o Options) common() []string {
	return append([]string{"--images-dir", o.Images, "--work-dir", o.Work, "--root", o.Root, "-v4"}, o.More...)
}

// binds are the mounts that criu finds outside of the container.
func binds(mounts []specs.Mount) []specs.Mount {
	var list []specs.Mount
	for _, m := range mounts {
		bind := m.Type == "bind"
		for _, option := range m.Options {
			bind = bind || option == "bind" || option == "rbind"
		}
		if bind {
			list = append(list, m)
		}
	}
	return list
}

func (o Options) run(verb, log string, args []string, files []*os.File) error {
	path, err := exec.LookPath("criu")
	if err != nil {
		return errdefs.ErrFailedPrecondition.WithMessage("checkpoint and restore need the program criu, which is not in PATH: install Debian's package criu")
	}
	if err := os.MkdirAll(o.Work, 0o700); err != nil {
		return err
	}
	cmd := exec.Command(path, append([]string{verb, "--log-file", log}, args...)...)
	cmd.ExtraFiles = files
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	file := filepath.Join(o.Work, log)
	text, _ := os.ReadFile(file)
	return fmt.Errorf("criu %s: %w: %s (its log: %s)", verb, err, lastError(append(text, out...)), file)
}

// lastError is the last line of a log that tells of an error.
func lastError(log []byte) string {
	last := ""
	for line := range bytes.Lines(log) {
		if bytes.Contains(line, []byte("Error")) {
			last = strings.TrimSpace(string(line))
		}
	}
	return last
}
