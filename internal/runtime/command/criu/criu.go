// Package criu has the program criu freeze a container's processes into files
// and thaw them. It speaks the program's command line: its protocol would cost
// each start of the runtime what protobuf costs.
//
// criu leaves its images in a directory of the caller's, and its log in the work
// directory. Beside the images is what criu does not keep: what stdio was, and the
// attributes of mounts. A dump that is killed leaves the container running, or frozen by
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
	"syscall"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// stdio is the file beside the images that says what descriptors 0 to 2 were.
const stdio = "descriptors"

const null = "/dev/null"

// Options are what dump and restore have in common.
type Options struct {
	Images, Work string
	Root         string // of the file system
	Mounts       []specs.Mount
	Masked       []string // covered by the null device, or by an empty directory
	More         []string // further options of criu's
}

// Dump freezes the tree of the process pid; pre only copies its memory.
func Dump(o Options, pid int, pre bool) error {
	args := append(o.common(), "--tree", strconv.Itoa(pid), "--link-remap")
	for _, m := range o.outside() {
		// An empty directory is of the container's own.
		if root := fmt.Sprintf("/proc/%d/root", pid); m.Source != null || !isDir(root+m.Destination) {
			args = append(args, "--external", fmt.Sprintf("mnt[%s]:%s", m.Destination, m.Destination))
		}
	}
	// criu asks for iptables unless told otherwise; our hosts need none.
	if _, err := exec.LookPath("iptables-restore"); err != nil {
		args = append(args, "--network-lock", "nftables")
	}
	if err := os.MkdirAll(o.Images, 0o700); err != nil {
		return err
	}
	if pre {
		return o.run("pre-dump", "dump.log", args, nil)
	}
	keys, err := outer(pid)
	if err != nil {
		return fmt.Errorf("read the container's stdio: %w", err)
	}
	for _, key := range keys {
		if strings.HasPrefix(key, "file[") {
			args = append(args, "--external", key)
		}
	}
	if err := os.WriteFile(filepath.Join(o.Images, stdio), []byte(strings.Join(keys[:], "\n")), 0o600); err != nil {
		return err
	}
	if err := saveMounts(o.Images, pid); err != nil {
		return err
	}
	return o.run("dump", "dump.log", args, nil)
}

// outer are criu's words for descriptors 0 to 2 that lead out of the container, to
// a pipe or to a file on none of its mounts; "" for others.
func outer(pid int) (keys [3]string, err error) {
	proc := fmt.Sprintf("/proc/%d/", pid)
	mounts, err := os.ReadFile(proc + "mountinfo")
	if err != nil {
		return keys, err
	}
	for fd := range keys {
		file := fmt.Sprintf("%sfd/%d", proc, fd)
		name, err := os.Readlink(file)
		if err != nil {
			return keys, err
		}
		if strings.HasPrefix(name, "pipe:") {
			keys[fd] = name
			continue
		}
		info, err := os.ReadFile(fmt.Sprintf("%sfdinfo/%d", proc, fd))
		if err != nil {
			return keys, err
		}
		mount, err := mountOf(info)
		if err != nil {
			return keys, err
		}
		if bytes.Contains(append([]byte("\n"), mounts...), fmt.Appendf(nil, "\n%d ", mount)) {
			continue
		}
		stat, err := os.Stat(file)
		if err != nil {
			return keys, err
		}
		keys[fd] = fmt.Sprintf("file[%x:%x]", mount, stat.Sys().(*syscall.Stat_t).Ino)
	}
	return keys, nil
}

// mountOf is the mount in a descriptor's fdinfo.
func mountOf(info []byte) (int, error) {
	for line := range strings.Lines(string(info)) {
		if id, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			return strconv.Atoi(strings.TrimSpace(id))
		}
	}
	return 0, errors.New("its fdinfo has no mnt_id")
}

// Restore thaws a tree, which is stopped then, with what its stdio was outside
// replaced by ours. The process whose ID it returns is a child of the caller.
func Restore(o Options) (int, error) {
	keys, err := os.ReadFile(filepath.Join(o.Images, stdio))
	if err != nil {
		return 0, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("--image-path %s holds no checkpoint of berth-runtime: %v", o.Images, err))
	}
	pidFile := filepath.Join(o.Work, "restored.pid")
	if err := os.Remove(pidFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	args := append(o.common(), "--restore-detached", "--restore-sibling", "--leave-stopped", "--pidfile", pidFile)
	for _, m := range o.outside() {
		args = append(args, "--external", fmt.Sprintf("mnt[%s]:%s", m.Destination, m.Source))
	}
	var files []*os.File
	std := []*os.File{os.Stdin, os.Stdout, os.Stderr}
	for fd, key := range strings.Split(string(keys), "\n") {
		// The program has the first of the files as 3.
		if key != "" && fd < 3 {
			if strings.HasPrefix(key, "file[") && !isFile(std[fd]) {
				return 0, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("descriptor %d of the container was a file outside of it: give restore a file there as well", fd))
			}
			args = append(args, "--inherit-fd", fmt.Sprintf("fd[%d]:%s", 3+len(files), key))
			files = append(files, std[fd])
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

// outside are the mounts that criu finds outside of the container.
func (o Options) outside() []specs.Mount {
	var list []specs.Mount
	for _, path := range o.Masked {
		list = append(list, specs.Mount{Destination: path, Source: null})
	}
	for _, m := range o.Mounts {
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

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func isFile(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
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
	return fmt.Errorf("criu %s: %w: %s (its log: %s)", verb, err, lastErrors(append(text, out...)), file)
}

// lastErrors are the last lines of a log that tell of an error: the cause is often
// before the last.
func lastErrors(log []byte) string {
	var list []string
	for line := range bytes.Lines(log) {
		if bytes.Contains(line, []byte("Error")) {
			list = append(list, strings.TrimSpace(string(line)))
		}
	}
	return strings.Join(list[max(0, len(list)-3):], "; ")
}
