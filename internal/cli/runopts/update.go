package runopts

import (
	"errors"

	"github.com/moby/moby/api/types/container"
	"github.com/spf13/pflag"
)

// Update is the flags of `update`.
type Update struct {
	limits
	restart string
	set     *pflag.FlagSet
}

// Register defines the flags.
func (u *Update) Register(set *pflag.FlagSet) {
	u.set = set
	u.limits.register(set)
	set.StringVar(&u.restart, "restart", "", "Restart policy to apply when a container exits (no, always, unless-stopped, on-failure[:max])")
}

// Build is what the flags that were given ask for; it is an error if none was.
func (u *Update) Build() (c container.UpdateConfig, err error) {
	if u.set.NFlag() == 0 {
		return c, errors.New("you must provide one or more flags when using this command")
	}
	u.limits.build(u.set, &c.Resources)
	if u.restart == "" {
		return c, nil
	}
	if c.RestartPolicy, err = parseRestart(u.restart); err != nil {
		return c, errors.New("invalid argument \"" + u.restart + "\" for \"--restart\" flag: " + err.Error())
	}
	return c, nil
}
