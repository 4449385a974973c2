package spec

import (
	"cmp"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	record "github.com/berth-containers/berth/internal/container"
)

const (
	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	// initPath is where --init finds its program; the name is Docker's.
	initPath = "/sbin/docker-init"
)

func (b *builder) process() error {
	capabilities, err := capabilitiesOf(b.host)
	if err != nil {
		return err
	}
	limits, err := rlimits(b.host.Ulimits)
	if err != nil {
		return err
	}
	gids, err := groups(b.host.GroupAdd, b.Group)
	if err != nil {
		return err
	}
	p := &specs.Process{
		Terminal:        b.config.Tty,
		User:            specs.User{Username: b.config.User, AdditionalGids: gids, Umask: b.host.Umask},
		Args:            slices.Concat(b.config.Entrypoint, b.config.Cmd),
		Env:             environment(cmp.Or(b.spec.Hostname, b.config.Hostname), b.config.Env, b.config.Tty),
		Cwd:             workingDir(b.config.WorkingDir),
		Capabilities:    capabilities,
		Rlimits:         limits,
		NoNewPrivileges: b.security.noNewPrivileges,
		OOMScoreAdj:     ptr(b.host.OomScoreAdj),
		ApparmorProfile: AppArmorProfile(b.host, b.AppArmor),
	}
	if size := b.host.ConsoleSize; b.config.Tty && size[0] > 0 && size[1] > 0 {
		p.ConsoleSize = &specs.Box{Height: size[0], Width: size[1]}
	}
	if len(p.Args) == 0 {
		return invalid("no command specified")
	}
	if b.runsInit() {
		if b.InitBinary == "" {
			return invalid("--init: the init program was not found; install berth-init beside berthd")
		}
		p.Args = append([]string{initPath, "--"}, p.Args...)
	}
	b.spec.Process = p
	return nil
}

// runsInit is whether PID 1 is --init's: with another's PID namespace it would
// not be PID 1.
func (b *builder) runsInit() bool {
	return b.host.Init != nil && *b.host.Init && b.pidNS() == ""
}

func workingDir(dir string) string {
	if dir == "" {
		return "/"
	}
	return dir
}

// environment is Docker's: its defaults, which the user's replace; an entry
// without a value takes the variable away. HOME is the init's to set.
func environment(hostname string, user []string, tty bool) []string {
	env := []string{"PATH=" + defaultPath}
	if hostname != "" {
		env = append(env, "HOSTNAME="+hostname)
	}
	if tty {
		env = append(env, "TERM=xterm")
	}
	return replaceEnv(env, user)
}

func replaceEnv(env, changes []string) []string {
	env = slices.Clone(env)
	for _, change := range changes {
		name, _, hasValue := strings.Cut(change, "=")
		i := slices.IndexFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") })
		switch {
		case !hasValue && i >= 0:
			env = slices.Delete(env, i, i+1)
		case hasValue && i >= 0:
			env[i] = change
		case hasValue:
			env = append(env, change)
		}
	}
	return env
}

// ExecProcess returns the process that an exec runs in a container whose
// specification is s.
func ExecProcess(r *record.Record, s *specs.Spec, req container.ExecCreateRequest) (*specs.Process, error) {
	if len(req.Cmd) == 0 || req.Cmd[0] == "" {
		return nil, invalid("No exec command specified")
	}
	if req.WorkingDir != "" && !strings.HasPrefix(req.WorkingDir, "/") {
		return nil, invalid("the working directory '%s' is invalid, it needs to be an absolute path", req.WorkingDir)
	}
	for _, e := range req.Env {
		if name, _, _ := strings.Cut(e, "="); name == "" || strings.ContainsRune(e, 0) {
			return nil, invalid("invalid environment variable: %q", e)
		}
	}
	p := *s.Process
	p.Terminal, p.ConsoleSize = req.Tty, nil
	if req.Tty && req.ConsoleSize != nil {
		p.ConsoleSize = &specs.Box{Height: req.ConsoleSize[0], Width: req.ConsoleSize[1]}
	}
	p.Args = req.Cmd
	p.Env = replaceEnv(environment(cmp.Or(s.Hostname, r.Config.Hostname), r.Config.Env, req.Tty), req.Env)
	if req.WorkingDir != "" {
		p.Cwd = req.WorkingDir
	}
	if req.User != "" {
		p.User.Username = req.User
	}
	if req.Privileged {
		p.Capabilities = sets(allCapabilities())
		if p.ApparmorProfile != "" {
			p.ApparmorProfile = Unconfined
		}
	}
	return &p, nil
}

// rlimitNames are those of setrlimit(2).
const rlimitNames = " core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack "

func rlimits(list []*container.Ulimit) ([]specs.POSIXRlimit, error) {
	var limits []specs.POSIXRlimit
	for _, u := range list {
		if u == nil || u.Name == "" || !strings.Contains(rlimitNames, " "+strings.ToLower(u.Name)+" ") {
			name := ""
			if u != nil {
				name = u.Name
			}
			return nil, invalid("invalid ulimit type: %s", name)
		}
		// -1 is no limit: the greatest number.
		l := specs.POSIXRlimit{Type: "RLIMIT_" + strings.ToUpper(u.Name), Hard: uint64(u.Hard), Soft: uint64(u.Soft)}
		if l.Soft > l.Hard {
			return nil, invalid("ulimit %s: the soft limit must be less than or equal to the hard limit: %d > %d", u.Name, u.Soft, u.Hard)
		}
		limits = append(limits, l)
	}
	return limits, nil
}
