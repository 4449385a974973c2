package image

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/berth-containers/berth/internal/image/name"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/moby/moby/api/types/container"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const hostPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// secrets are the files and directories (with a "/" at the end) of a system
// that a container of the image "host" never needs and must not read. docs/design/host-image.md says why each.
var secrets = [...]string{
	"/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-",
	"/etc/security/opasswd", "/etc/sudoers", "/etc/sudoers.d/",
	"/etc/ssh/ssh_host_*_key", "/etc/ssl/private/", "/etc/pki/tls/private/",
	"/etc/krb5.keytab", "/etc/wireguard/", "/etc/NetworkManager/system-connections/",
	"/etc/kubernetes/", "/etc/docker/key.json", "/etc/machine-id", "/etc/credstore/", "/etc/credstore.encrypted/",
	"/etc/letsencrypt/", "/var/lib/cloud/",
	"/var/lib/docker/", "/var/lib/containerd/", "/var/lib/containers/", "/var/lib/kubelet/", "/var/lib/systemd/random-seed",
	"/var/lib/private/",
}

// personal are such of everybody's home directory.
var personal = [...]string{
	".ssh/", ".gnupg/", ".docker/", ".aws/", ".azure/", ".kube/", ".config/gcloud/", ".config/gh/", ".config/containers/auth.json",
	".netrc", ".git-credentials", ".npmrc", ".vault-token", ".pgpass", ".bash_history",
}

// homes are where home directories are.
var homes = [...]string{"/root", "/home/*"}

// hostImage is the image "host". It has no layers and no blobs.
func hostImage() Image {
	id := digest.FromString("berth host image")
	return Image{
		ID: id, Tags: []string{HostName + ":latest"}, Host: true,
		Target:   ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: id},
		Platform: platforms.Normalize(ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}),
		Config:   &container.Config{Cmd: []string{hostShell()}, Env: []string{hostPath}, WorkingDir: "/"},
	}
}

// isHost is whether ref names the image "host": by its name, or by its ID or the
// beginning of it if that finds no other image.
func (v *view) isHost(ref string) bool {
	if ref == HostName || ref == HostName+":latest" {
		return true
	}
	hex, isID := name.AsID(ref)
	if !isID || !strings.HasPrefix(hostImage().ID.Encoded(), hex) {
		return false
	}
	_, _, err := v.find(ref)
	return errdefs.IsNotFound(err)
}

func hostShell() string {
	if _, err := os.Stat("/bin/bash"); err == nil {
		return "/bin/bash"
	}
	return "/bin/sh"
}

// hostHidden lists what is to be hidden of the system at root: those of the
// secrets and of ours that exist, each once, none below another one.
func hostHidden(root string, ours []string) []string {
	var paths []string
	patterns := secrets[:]
	for _, home := range homes {
		for _, p := range personal {
			patterns = append(patterns, filepath.Join(home, p))
		}
	}
	for _, pattern := range patterns {
		matches, _ := filepath.Glob(filepath.Join(root, pattern)) // the patterns are well formed
		paths = append(paths, matches...)
	}
	for _, p := range ours {
		p = filepath.Join(root, p)
		paths = append(paths, p)
		if real, err := filepath.EvalSymlinks(p); err == nil {
			paths = append(paths, real)
		}
	}
	var found []string
	for _, p := range paths {
		info, err := os.Lstat(p)
		if err != nil {
			continue
		}
		inside := "/" + strings.TrimPrefix(strings.TrimPrefix(p, root), "/")
		if info.IsDir() {
			inside += "/"
		}
		found = append(found, inside)
	}
	slices.Sort(found)
	var hidden []string
	for _, p := range found {
		if n := len(hidden); n > 0 && (p == hidden[n-1] || strings.HasSuffix(hidden[n-1], "/") && strings.HasPrefix(p, hidden[n-1])) {
			continue
		}
		hidden = append(hidden, p)
	}
	return hidden
}
