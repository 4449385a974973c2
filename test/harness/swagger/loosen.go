package swagger

import (
	"maps"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// loosen lets lists and objects inside of a body be null. Docker is written in
// Go, where both have a nil, and answers null for most that are empty; the
// description says so only here and there. A body itself is never null.
func loosen(doc *openapi3.T) {
	seen := map[*openapi3.Schema]bool{}
	for _, s := range doc.Components.Schemas {
		loosenInside(s.Value, seen)
	}
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			for _, r := range op.Responses.Map() {
				if s := bodySchema(r.Value); s != nil {
					loosenInside(s, seen)
				}
			}
		}
	}
	for field, change := range exceptions {
		object, name, _ := strings.Cut(field, ".")
		if o := doc.Components.Schemas[object]; o != nil && o.Value.Properties[name] != nil {
			change(o.Value.Properties[name].Value)
		}
	}
}

// wrong are fields whose description is wrong for Docker itself: operation, versions
// ("" is all) and path.
var wrong = []struct{ operation, versions, path string }{
	{"ExecInspect", "", "ExitCode"}, // null while it runs
	{"ContainerInspect", "1.25", "ExecIDs"},
	{"ContainerInspect", "1.25", "HostConfig.PidsLimit"},
	{"ContainerInspect", "1.25", "HostConfig.RestartPolicy.Name"},
	{"ContainerInspect", "1.25", "NetworkSettings.Ports"},
	{"ContainerInspect", "1.25", "Config.Entrypoint"},
	{"ImageInspect", "1.25", "Config.Entrypoint"},
	{"NetworkInspect", "1.25", "IPAM.Options"},
	{"NetworkList", "1.25", "IPAM.Options"},
}

func isWrong(operation, version, path string) bool {
	path = strings.TrimLeft(path, "0123456789.") // in a list
	return slices.ContainsFunc(wrong, func(w struct{ operation, versions, path string }) bool {
		return w.operation == operation && w.path == path && (w.versions == "" || w.versions == version)
	})
}

// exceptions are where the description is not what Docker answers, or Berth
// answers more.
var exceptions = map[string]func(*openapi3.Schema){
	// null if it was not said, -1 if the client said that.
	"HostConfig.MemorySwappiness": func(s *openapi3.Schema) { s.Nullable, s.Min = true, openapi3.Ptr(-1.0) },
	"HostConfig.OomKillDisable":   func(s *openapi3.Schema) { s.Nullable = true },
	// Docker's list lacks drivers that are plugins, too.
	"HostConfig.LogConfig": func(s *openapi3.Schema) {
		drivers := s.Properties["Type"].Value
		drivers.Enum = append(drivers.Enum, "ring", "local")
	},
}

func loosenInside(s *openapi3.Schema, seen map[*openapi3.Schema]bool) {
	if seen[s] {
		return
	}
	seen[s] = true
	flatten(s)
	inner := []*openapi3.SchemaRef{s.Items, s.AdditionalProperties.Schema}
	for _, p := range s.Properties {
		inner = append(inner, p)
	}
	for _, p := range inner {
		if p == nil {
			continue
		}
		loosenInside(p.Value, seen)
		if p.Value.Type.Is("array") || p.Value.Type.Is("object") || p.Value.Type == nil {
			p.Value.Nullable = true
		}
	}
}

// flatten makes one object of those that a schema is made of: a violation then
// says which field it is.
func flatten(s *openapi3.Schema) {
	if len(s.AllOf) == 0 {
		return
	}
	properties := maps.Clone(s.Properties)
	if properties == nil {
		properties = openapi3.Schemas{}
	}
	for _, part := range s.AllOf {
		flatten(part.Value)
		maps.Copy(properties, part.Value.Properties)
		s.Required = append(s.Required, part.Value.Required...)
	}
	if len(properties) > 0 {
		s.Type = &openapi3.Types{openapi3.TypeObject}
	} else {
		s.Type = s.AllOf[0].Value.Type
	}
	s.Properties, s.AllOf = properties, nil
}
