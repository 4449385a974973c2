package runopts

import (
	"errors"
	"os"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/spf13/pflag"
)

// Update is the flags of `update`.
type Update struct {
	limits
	restart                              string
	publishAdd, publishRm, envAdd, envRm list
	labelAdd, labelRm, mountAdd, mountRm list
	set                                  *pflag.FlagSet
}

// UpdateRequest is the body of an update: Docker's, and what Berth can change
// beyond that.
type UpdateRequest struct {
	container.UpdateConfig
	PortBindingsAdd    network.PortMap   `json:",omitempty"`
	PortBindingsRemove []string          `json:",omitempty"`
	EnvAdd             []string          `json:",omitempty"`
	EnvRemove          []string          `json:",omitempty"`
	LabelsAdd          map[string]string `json:",omitempty"`
	LabelsRemove       []string          `json:",omitempty"`
	MountsAdd          []mount.Mount     `json:",omitempty"`
	MountsRemove       []string          `json:",omitempty"`
}

// Register defines the flags.
func (u *Update) Register(set *pflag.FlagSet) {
	u.set = set
	u.limits.register(set)
	set.StringVar(&u.restart, "restart", "", "Restart policy to apply when a container exits (no, always, unless-stopped, on-failure[:max])")
	u.publishAdd.check = func(s string) error { _, err := ParsePublish(s); return err }
	u.mountAdd.check = func(s string) error { _, err := ParseMount(s); return err }
	set.Var(&u.publishAdd, "publish-add", "Publish a port, at once")
	set.Var(&u.publishRm, "publish-rm", "Stop publishing a port ([[IP:]HOST:]CONTAINER[/PROTOCOL]), at once")
	set.Var(&u.envAdd, "env-add", "Set an environment variable at the next start")
	set.Var(&u.envRm, "env-rm", "Remove an environment variable at the next start")
	set.Var(&u.labelAdd, "label-add", "Set a label")
	set.Var(&u.labelRm, "label-rm", "Remove a label")
	set.Var(&u.mountAdd, "mount-add", "Add a mount, as with run --mount, at the next start")
	set.Var(&u.mountRm, "mount-rm", "Remove the mount at a path at the next start")
}

// Build is what the flags that were given ask for; it is an error if none was.
func (u *Update) Build() (r UpdateRequest, err error) {
	if u.set.NFlag() == 0 {
		return r, errors.New("you must provide one or more flags when using this command")
	}
	u.limits.build(u.set, &r.Resources)
	if u.restart != "" {
		if r.RestartPolicy, err = parseRestart(u.restart); err != nil {
			return r, errors.New("invalid argument \"" + u.restart + "\" for \"--restart\" flag: " + err.Error())
		}
	}
	r.PortBindingsRemove, r.EnvRemove, r.LabelsRemove, r.MountsRemove = u.publishRm.values, u.envRm.values, u.labelRm.values, u.mountRm.values
	r.LabelsAdd = Pairs(u.labelAdd.values)
	if r.EnvAdd, err = environment(nil, u.envAdd.values, os.LookupEnv); err != nil {
		return r, err
	}
	for _, v := range u.publishAdd.values {
		published, err := ParsePublish(v)
		if err != nil {
			return r, err
		}
		for _, p := range published {
			if r.PortBindingsAdd == nil {
				r.PortBindingsAdd = network.PortMap{}
			}
			r.PortBindingsAdd[p.Port] = append(r.PortBindingsAdd[p.Port], p.Binding)
		}
	}
	for _, v := range u.mountAdd.values {
		m, err := ParseMount(v)
		if err == nil && mountIDMap(v) != "" {
			err = errors.New("bind-idmap goes with create and run only")
		}
		if err != nil {
			return r, err
		}
		r.MountsAdd = append(r.MountsAdd, m)
	}
	return r, nil
}
