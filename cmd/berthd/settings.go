package main

import (
	"log/slog"
	"os"
	"path/filepath"

	"github.com/berth-containers/berth/internal/config"
	"github.com/berth-containers/berth/internal/config/dockerd"
)

// settings are read as berthd's, or, if this binary is called dockerd, as that one's.
type settings struct {
	config.Config
	warnings []string
}

func load(name string, args []string) (s settings, err error) {
	if filepath.Base(name) == dockerd.Name {
		t, err := dockerd.Translate(args, dockerd.Env{CertPath: os.Getenv("DOCKER_CERT_PATH"), Home: os.Getenv("HOME")})
		if err != nil {
			return s, err
		}
		args, s.warnings = t.Args, t.Warnings
	}
	s.Config, err = config.Load(args)
	return s, err
}

// reload takes over what can change while the engine runs: how much it logs.
func reload(name string, args []string, level *slog.LevelVar, log *slog.Logger) {
	next, err := load(name, args)
	if err != nil {
		log.Error("the configuration is not read again", "error", err)
		return
	}
	level.Set(next.LogLevel)
	log.Info("the configuration was read again; all but the log level is taken at the next start", "log-level", next.LogLevel)
}
