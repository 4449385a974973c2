package version

import (
	"bytes"
	"encoding/json"
	"slices"
)

// object is an answer, or one element of an answer that is a list.
type object = map[string]any

// shim is one difference between the newest answer and an older one.
type shim struct {
	before     string   // for clients older than this
	operations []string // the swagger's operationId
	change     func(object)
}

// shims are applied in order; each says what the types of today lack.
var shims = []shim{
	{"1.52", ops("ContainerInspect"), addLegacyNetworkSettings},
	{"1.52", ops("ContainerInspect"), at("HostConfig", fill("KernelMemoryTCP", 0))},
	{"1.52", ops("ContainerInspect"), at("Config", fill("OnBuild", nil))},
	{"1.52", ops("SystemEvents"), addEventStatus},
	{"1.52", ops("ImageInspect"), each(fill("Parent", ""), fill("Comment", ""), fill("DockerVersion", ""), fill("Author", ""))},
	{"1.52", ops("ImageInspect"), at("Config", each(fill("Cmd", nil), fill("Entrypoint", nil), fill("Env", nil), fill("Labels", nil),
		fill("OnBuild", nil), fill("User", ""), fill("Volumes", nil), fill("WorkingDir", "")))},
	{"1.52", ops("ContainerInspect"), drop("Storage")},
	{"1.52", ops("NetworkInspect"), drop("Status")},
	{"1.51", ops("ImageList"), set("Containers", -1)},
	{"1.50", ops("ImageInspect"), at("Config", each(fill("Hostname", ""), fill("Domainname", ""), fill("AttachStdin", false),
		fill("AttachStdout", false), fill("AttachStderr", false), fill("Tty", false), fill("OpenStdin", false), fill("StdinOnce", false), fill("Image", "")))},
	{"1.50", ops("SystemInfo"), each(fill("BridgeNfIptables", false), fill("BridgeNfIp6tables", false), drop("DiscoveredDevices"))},
	{"1.49", ops("SystemInfo"), drop("FirewallBackend")},
	{"1.49", ops("SystemInfo"), addExpectedCommits},
	{"1.48", ops("ContainerList", "ContainerInspect"), drop("ImageManifestDescriptor")},
	{"1.48", ops("ImageList", "ImageInspect"), drop("Descriptor", "Manifests")},
	{"1.48", ops("ContainerList", "ContainerInspect"), endpoints(drop("GwPriority"))},
	{"1.46", ops("SystemInfo"), drop("Containerd")},
	{"1.46", ops("ContainerList"), at("HostConfig", drop("Annotations"))},
	{"1.45", ops("ContainerInspect"), addShortAlias},
	{"1.44", ops("ImageList", "ImageInspect"), addVirtualSize},
	{"1.44", ops("SystemDataUsage"), all("Images", addVirtualSize)},
	{"1.44", ops("ContainerList", "ContainerInspect"), endpoints(drop("DNSNames"))},
	{"1.42", ops("ContainerInspect"), at("HostConfig", fill("KernelMemory", 0))},
	{"1.42", ops("SystemInfo"), each(fill("ClusterStore", ""), fill("ClusterAdvertise", ""))},
}

// Shim returns body, or if the version differs what it looks like there.
func Shim(v Version, operation string, body any) (any, error) {
	var changes []func(object)
	for _, s := range shims {
		if v.Before(s.before) && slices.Contains(s.operations, operation) {
			changes = append(changes, s.change)
		}
	}
	if len(changes) == 0 {
		return body, nil
	}
	return rewrite(body, changes)
}

func rewrite(body any, changes []func(object)) (any, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber() // a size does not become a float
	var tree any
	if err := d.Decode(&tree); err != nil {
		return nil, err
	}
	elements, isList := tree.([]any)
	if !isList {
		elements = []any{tree}
	}
	for _, e := range elements {
		if o, ok := e.(object); ok {
			each(changes...)(o)
		}
	}
	return tree, nil
}

func ops(names ...string) []string { return names }

func each(changes ...func(object)) func(object) {
	return func(o object) {
		for _, change := range changes {
			change(o)
		}
	}
}

// at changes the object in field, if there is one.
func at(field string, change func(object)) func(object) {
	return func(o object) {
		if inner, ok := o[field].(object); ok {
			change(inner)
		}
	}
}

// endpoints changes what is said of a container's place in each network.
func endpoints(change func(object)) func(object) {
	return at("NetworkSettings", at("Networks", func(networks object) {
		for _, n := range networks {
			if inner, ok := n.(object); ok {
				change(inner)
			}
		}
	}))
}

// all changes the objects in the list in field.
func all(field string, change func(object)) func(object) {
	return func(o object) {
		list, _ := o[field].([]any)
		for _, element := range list {
			if inner, ok := element.(object); ok {
				change(inner)
			}
		}
	}
}

func set(field string, value any) func(object) { return func(o object) { o[field] = value } }

// fill sets a field that is absent.
func fill(field string, value any) func(object) {
	return func(o object) {
		if _, there := o[field]; !there {
			o[field] = value
		}
	}
}

func drop(fields ...string) func(object) {
	return func(o object) {
		for _, f := range fields {
			delete(o, f)
		}
	}
}

// addLegacyNetworkSettings repeats the bridge's endpoint beside the list of
// networks, where it was before there were networks.
func addLegacyNetworkSettings(o object) {
	settings, ok := o["NetworkSettings"].(object)
	if !ok {
		return
	}
	each(fill("Bridge", ""), fill("HairpinMode", false), fill("LinkLocalIPv6Address", ""), fill("LinkLocalIPv6PrefixLen", 0),
		fill("SecondaryIPAddresses", nil), fill("SecondaryIPv6Addresses", nil))(settings)
	networks, _ := settings["Networks"].(object)
	bridge, _ := networks["bridge"].(object)
	for field, absent := range map[string]any{"EndpointID": "", "Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0,
		"IPAddress": "", "IPPrefixLen": 0, "IPv6Gateway": "", "MacAddress": ""} {
		value, there := bridge[field]
		if !there || value == nil {
			value = absent
		}
		fill(field, value)(settings)
	}
}

// addShortAlias has the container's short ID among the aliases, which clients
// looked for there before there were DNS names.
func addShortAlias(o object) {
	id, _ := o["Id"].(string)
	settings, _ := o["NetworkSettings"].(object)
	networks, _ := settings["Networks"].(object)
	for _, n := range networks {
		e, ok := n.(object)
		if names, _ := e["DNSNames"].([]any); ok && len(names) > 0 && len(id) >= 12 {
			aliases, _ := e["Aliases"].([]any)
			e["Aliases"] = append(aliases, id[:12])
		}
	}
}

// addEventStatus adds the fields of before API 1.22.
func addEventStatus(o object) {
	kind, _ := o["Type"].(string)
	if kind != "container" && kind != "image" {
		return
	}
	o["status"] = o["Action"]
	actor, _ := o["Actor"].(object)
	o["id"] = actor["ID"]
	attributes, _ := actor["Attributes"].(object)
	if from, ok := attributes["image"]; ok && kind == "container" {
		o["from"] = from
	}
}

func addExpectedCommits(o object) {
	for _, field := range []string{"ContainerdCommit", "RuncCommit", "InitCommit"} {
		at(field, func(commit object) { commit["Expected"] = commit["ID"] })(o)
	}
}

func addVirtualSize(o object) { o["VirtualSize"] = o["Size"] }
