package server

import (
	"fmt"
	"net/http"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/plugin"

	"github.com/berth-containers/berth/internal/api/decode"
	"github.com/berth-containers/berth/internal/filters"
)

// swarm are the operations of a cluster, which this engine is no part of.
var swarm = []Route{
	{Method: "PUT", Pattern: "/volumes/{id}", Operation: "VolumeUpdate"},
	{Method: "GET", Pattern: "/nodes", Operation: "NodeList"},
	{Method: "GET", Pattern: "/nodes/{id}", Operation: "NodeInspect"},
	{Method: "DELETE", Pattern: "/nodes/{id}", Operation: "NodeDelete"},
	{Method: "POST", Pattern: "/nodes/{id}/update", Operation: "NodeUpdate"},
	{Method: "GET", Pattern: "/swarm", Operation: "SwarmInspect"},
	{Method: "POST", Pattern: "/swarm/init", Operation: "SwarmInit"},
	{Method: "POST", Pattern: "/swarm/join", Operation: "SwarmJoin"},
	{Method: "POST", Pattern: "/swarm/leave", Operation: "SwarmLeave"},
	{Method: "POST", Pattern: "/swarm/update", Operation: "SwarmUpdate"},
	{Method: "GET", Pattern: "/swarm/unlockkey", Operation: "SwarmUnlockkey"},
	{Method: "POST", Pattern: "/swarm/unlock", Operation: "SwarmUnlock"},
	{Method: "GET", Pattern: "/services", Operation: "ServiceList"},
	{Method: "POST", Pattern: "/services/create", Operation: "ServiceCreate"},
	{Method: "GET", Pattern: "/services/{id}", Operation: "ServiceInspect"},
	{Method: "DELETE", Pattern: "/services/{id}", Operation: "ServiceDelete"},
	{Method: "POST", Pattern: "/services/{id}/update", Operation: "ServiceUpdate"},
	{Method: "GET", Pattern: "/services/{id}/logs", Operation: "ServiceLogs"},
	{Method: "GET", Pattern: "/tasks", Operation: "TaskList"},
	{Method: "GET", Pattern: "/tasks/{id}", Operation: "TaskInspect"},
	{Method: "GET", Pattern: "/tasks/{id}/logs", Operation: "TaskLogs"},
	{Method: "GET", Pattern: "/secrets", Operation: "SecretList"},
	{Method: "POST", Pattern: "/secrets/create", Operation: "SecretCreate"},
	{Method: "GET", Pattern: "/secrets/{id}", Operation: "SecretInspect"},
	{Method: "DELETE", Pattern: "/secrets/{id}", Operation: "SecretDelete"},
	{Method: "POST", Pattern: "/secrets/{id}/update", Operation: "SecretUpdate"},
	{Method: "GET", Pattern: "/configs", Operation: "ConfigList"},
	{Method: "POST", Pattern: "/configs/create", Operation: "ConfigCreate"},
	{Method: "GET", Pattern: "/configs/{id}", Operation: "ConfigInspect"},
	{Method: "DELETE", Pattern: "/configs/{id}", Operation: "ConfigDelete"},
	{Method: "POST", Pattern: "/configs/{id}/update", Operation: "ConfigUpdate"},
}

// plugins are the operations of plugins, of which there are none.
var plugins = []Route{
	{Method: "GET", Pattern: "/plugins", Operation: "PluginList"},
	{Method: "GET", Pattern: "/plugins/privileges", Operation: "GetPluginPrivileges"},
	{Method: "POST", Pattern: "/plugins/pull", Operation: "PluginPull"},
	{Method: "GET", Pattern: "/plugins/{name}/json", Operation: "PluginInspect"},
	{Method: "DELETE", Pattern: "/plugins/{name}", Operation: "PluginDelete"},
	{Method: "POST", Pattern: "/plugins/{name}/enable", Operation: "PluginEnable"},
	{Method: "POST", Pattern: "/plugins/{name}/disable", Operation: "PluginDisable"},
	{Method: "POST", Pattern: "/plugins/{name}/upgrade", Operation: "PluginUpgrade"},
	{Method: "POST", Pattern: "/plugins/create", Operation: "PluginCreate"},
	{Method: "POST", Pattern: "/plugins/{name}/push", Operation: "PluginPush"},
	{Method: "POST", Pattern: "/plugins/{name}/set", Operation: "PluginSet"},
}

var (
	errNoManager = errdefs.ErrUnavailable.WithMessage(`This node is not a swarm manager. ` +
		`Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.`)
	errNoSwarm         = errdefs.ErrUnavailable.WithMessage("This node is not part of a swarm")
	errNoClusterVolume = errdefs.ErrUnavailable.WithMessage("volume update only valid for cluster volumes, but swarm is unavailable")
	errNoPlugins       = errdefs.ErrNotImplemented.WithMessage("Berth does not run plugins: storage, networks and logs are built in")
)

// outsideRoutes answer as Docker does outside of a swarm and without plugins.
func outsideRoutes() []Route {
	var table []Route
	for _, r := range swarm {
		switch r.Operation {
		case "SwarmInit", "SwarmJoin":
			r = notYet(r)
		case "VolumeUpdate":
			r.serve = refuse(errNoClusterVolume)
		case "SwarmLeave", "SwarmUnlock":
			r.serve = refuse(errNoSwarm)
		default:
			r.serve = refuse(errNoManager)
		}
		table = append(table, r)
	}
	for _, r := range plugins {
		switch r.Operation {
		case "PluginList":
			r.serve = listPlugins
		case "GetPluginPrivileges", "PluginPull", "PluginCreate":
			r.serve = refuse(errNoPlugins)
		default:
			r.serve = noSuchPlugin
		}
		table = append(table, r)
	}
	return table
}

func refuse(err error) handler {
	return func(http.ResponseWriter, *request) error { return err }
}

func listPlugins(w http.ResponseWriter, r *request) error {
	f, err := decode.Filters(r.query.Get("filters"))
	if err != nil {
		return err
	}
	if err := filters.Only(f, "enabled", "capability"); err != nil {
		return err
	}
	return writeJSON(w, r, http.StatusOK, []plugin.Plugin{})
}

func noSuchPlugin(_ http.ResponseWriter, r *request) error {
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("plugin %q not found", r.name))
}
