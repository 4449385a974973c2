package runopts

import (
	"encoding/csv"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
)

// isCDI is whether a --device is the name of one that a CDI file describes:
// VENDOR/CLASS=NAME.
func isCDI(s string) bool {
	kind, name, ok := strings.Cut(s, "=")
	vendor, class, ok2 := strings.Cut(kind, "/")
	return ok && ok2 && vendor != "" && class != "" && name != "" && !strings.ContainsAny(kind, ":=") && !strings.Contains(class, "/")
}

// parseGPUs reads all, a number, or driver=…,count=…,device=…,capabilities=…,options=….
func parseGPUs(s string) (r container.DeviceRequest, err error) {
	fields, err := csv.NewReader(strings.NewReader(s)).Read()
	if err != nil {
		return r, errors.New("write all, a number, or key=value,…")
	}
	r = container.DeviceRequest{Options: map[string]string{}, Capabilities: [][]string{{"gpu"}}}
	seen := map[string]bool{}
	for _, field := range fields {
		key, value, hasValue := strings.Cut(field, "=")
		if !hasValue {
			key, value = "count", key
		}
		if seen[key] {
			return r, fmt.Errorf("gpu request key '%s' can be specified only once", key)
		}
		seen[key] = true
		if err := gpuField(&r, key, value); err != nil {
			return r, err
		}
	}
	if !seen["count"] && r.DeviceIDs == nil {
		r.Count = 1
	}
	return r, nil
}

func gpuField(r *container.DeviceRequest, key, value string) (err error) {
	switch key {
	case "driver":
		r.Driver = value
	case "count":
		if value == "all" {
			r.Count = -1
			return nil
		}
		if r.Count, err = strconv.Atoi(value); err != nil {
			return fmt.Errorf("invalid count (%s): value must be either \"all\" or an integer", value)
		}
	case "device":
		r.DeviceIDs = strings.Split(value, ",")
	case "capabilities":
		r.Capabilities = [][]string{append(strings.Split(value, ","), "gpu")}
	case "options":
		list, err := csv.NewReader(strings.NewReader(value)).Read()
		if err != nil {
			return errors.New("failed to read gpu options")
		}
		r.Options = Pairs(list)
	default:
		return fmt.Errorf("unexpected key '%s' in '%s=%s'", key, key, value)
	}
	return nil
}
