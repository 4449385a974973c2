package runopts

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/mount"
)

// ParseVolume reads [SOURCE:]TARGET[:OPTIONS]. Without a source it is an
// anonymous volume at target; otherwise bind is what the engine gets.
func ParseVolume(s string) (bind, target string, err error) {
	parts := strings.Split(s, ":")
	if len(parts) > 3 {
		return "", "", errors.New("write [SOURCE:]TARGET[:OPTIONS]")
	}
	if len(parts) == 1 {
		if err := checkTarget(s); err != nil {
			return "", "", err
		}
		return "", s, nil
	}
	if parts[0] == "" {
		return "", "", errors.New("the source is empty")
	}
	if err := checkTarget(parts[1]); err != nil {
		return "", "", err
	}
	if len(parts) == 3 && parts[2] == "" {
		return "", "", errors.New("the options after the second colon are empty")
	}
	if first, _, _ := strings.Cut(parts[0], "/"); first == "." || first == ".." {
		if parts[0], err = filepath.Abs(parts[0]); err != nil {
			return "", "", err
		}
	}
	return strings.Join(parts, ":"), parts[1], nil
}

func checkTarget(target string) error {
	switch {
	case !path.IsAbs(target):
		return fmt.Errorf("the path in the container, %q, must be absolute", target)
	case path.Clean(target) == "/":
		return errors.New("the path in the container cannot be /")
	}
	return nil
}

// ParseMount reads type=…,source=…,target=….
func ParseMount(s string) (mount.Mount, error) {
	m := mount.Mount{Type: mount.TypeVolume}
	fields, err := csv.NewReader(strings.NewReader(s)).Read()
	if err != nil {
		return m, errors.New("write type=…,source=…,target=…")
	}
	for _, field := range fields {
		key, value, hasValue := strings.Cut(strings.TrimSpace(field), "=")
		key = strings.ToLower(key)
		if !hasValue && !mayBeBare(key) {
			return m, fmt.Errorf("invalid field %q: write key=value", field)
		}
		if !hasValue {
			value = "true"
		}
		known, err := mountField(&m, key, value)
		if err != nil {
			return m, fmt.Errorf("invalid value for %s: %w", key, err)
		}
		if !known {
			return m, fmt.Errorf("unknown field %q", key)
		}
	}
	return m, checkMount(m)
}

func mayBeBare(key string) bool {
	switch key {
	case "readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src", "bind-idmap":
		return true
	}
	return false
}

func mountField(m *mount.Mount, key, value string) (known bool, err error) {
	switch key {
	case "type":
		m.Type = mount.Type(strings.ToLower(value))
	case "source", "src":
		m.Source = value
		if first, _, _ := strings.Cut(value, "/"); first == "." || first == ".." {
			m.Source, err = filepath.Abs(value)
		}
	case "target", "dst", "destination":
		m.Target = value
	case "readonly", "ro":
		m.ReadOnly, err = parseBool(value)
	case "consistency":
		m.Consistency = mount.Consistency(strings.ToLower(value))
	case "image-subpath":
		m.ImageOptions = &mount.ImageOptions{Subpath: value}
	default:
		kind, _, _ := strings.Cut(key, "-")
		switch kind {
		case "bind":
			return bindField(m, key, value)
		case "volume":
			return volumeField(m, key, value)
		case "tmpfs":
			return tmpfsField(m, key, value)
		}
		return false, nil
	}
	return true, err
}

// idMapAnnotation and a target are the key of what the engine is told about the ID
// map of a bind: the API's types have no field for it.
const idMapAnnotation = "berth.idmap:"

// idMap checks a value of bind-idmap; bare it is match-user.
func idMap(value string) (string, error) {
	if value == "true" {
		value = "match-user"
	}
	kind, user, hasUser := strings.Cut(value, ":")
	if kind == "match-user" && (!hasUser || user != "") || value == "userns" {
		return value, nil
	}
	return "", fmt.Errorf("%q is none of match-user, match-user:USER, userns", value)
}

// mountIDMap is the ID map in a mount that ParseMount takes; "" if it has none.
func mountIDMap(s string) (text string) {
	fields, _ := csv.NewReader(strings.NewReader(s)).Read()
	for _, field := range fields {
		key, value, hasValue := strings.Cut(strings.TrimSpace(field), "=")
		if strings.ToLower(key) != "bind-idmap" {
			continue
		}
		if !hasValue {
			value = "true"
		}
		text, _ = idMap(value)
	}
	return text
}

func bindField(m *mount.Mount, key, value string) (known bool, err error) {
	if m.BindOptions == nil {
		m.BindOptions = &mount.BindOptions{}
	}
	o := m.BindOptions
	switch key {
	case "bind-propagation":
		o.Propagation = mount.Propagation(strings.ToLower(value))
	case "bind-nonrecursive":
		o.NonRecursive, err = parseBool(value)
	case "bind-create-src":
		o.CreateMountpoint, err = parseBool(value)
	case "bind-idmap":
		_, err = idMap(value)
	case "bind-recursive":
		switch value {
		case "enabled":
		case "disabled":
			o.NonRecursive = true
		case "writable":
			o.ReadOnlyNonRecursive = true
		case "readonly":
			o.ReadOnlyForceRecursive = true
		default:
			err = fmt.Errorf("%q is none of enabled, disabled, writable, readonly", value)
		}
	default:
		return false, nil
	}
	return true, err
}

func volumeField(m *mount.Mount, key, value string) (known bool, err error) {
	if m.VolumeOptions == nil {
		m.VolumeOptions = &mount.VolumeOptions{}
	}
	o := m.VolumeOptions
	switch key {
	case "volume-nocopy":
		o.NoCopy, err = parseBool(value)
	case "volume-subpath":
		o.Subpath = value
	case "volume-label":
		name, v, _ := strings.Cut(value, "=")
		if o.Labels == nil {
			o.Labels = map[string]string{}
		}
		o.Labels[name] = v
	case "volume-driver", "volume-opt":
		if o.DriverConfig == nil {
			o.DriverConfig = &mount.Driver{Options: map[string]string{}}
		}
		if key == "volume-driver" {
			o.DriverConfig.Name = value
			break
		}
		if err = checkPair(value); err == nil {
			name, v, _ := strings.Cut(value, "=")
			o.DriverConfig.Options[name] = v
		}
	default:
		return false, nil
	}
	return true, err
}

func tmpfsField(m *mount.Mount, key, value string) (known bool, err error) {
	if m.TmpfsOptions == nil {
		m.TmpfsOptions = &mount.TmpfsOptions{}
	}
	switch key {
	case "tmpfs-size":
		m.TmpfsOptions.SizeBytes, err = units.RAMInBytes(value)
	case "tmpfs-mode":
		var mode uint64
		mode, err = strconv.ParseUint(value, 8, 32)
		m.TmpfsOptions.Mode = os.FileMode(mode)
	default:
		return false, nil
	}
	return true, err
}

func checkMount(m mount.Mount) error {
	switch m.Type {
	case mount.TypeBind, mount.TypeVolume, mount.TypeTmpfs, mount.TypeImage:
	default:
		return fmt.Errorf("type %q is none of bind, volume, tmpfs, image", m.Type)
	}
	if m.Target == "" {
		return errors.New("the field target is missing")
	}
	if err := checkTarget(m.Target); err != nil {
		return err
	}
	switch {
	case m.Type == mount.TypeBind && m.Source == "":
		return errors.New("the field source is missing")
	case m.Type == mount.TypeTmpfs && m.Source != "":
		return errors.New("type tmpfs has no source")
	case m.BindOptions != nil && m.Type != mount.TypeBind:
		return fmt.Errorf("bind-* fields do not go with type %s", m.Type)
	case m.VolumeOptions != nil && m.Type != mount.TypeVolume:
		return fmt.Errorf("volume-* fields do not go with type %s", m.Type)
	case m.TmpfsOptions != nil && m.Type != mount.TypeTmpfs:
		return fmt.Errorf("tmpfs-* fields do not go with type %s", m.Type)
	}
	return nil
}
