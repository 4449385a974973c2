package server

import (
	"fmt"
	"net/http"

	"github.com/containerd/errdefs"
)

// missing are the operations of the swagger that Berth has not yet.
var missing = []Route{
	{Method: "GET", Pattern: "/containers/{id}/attach/ws", Operation: "ContainerAttachWebsocket"},
	{Method: "GET", Pattern: "/containers/{id}/checkpoints", Operation: "CheckpointList"},
	{Method: "POST", Pattern: "/containers/{id}/checkpoints", Operation: "CheckpointCreate"},
	{Method: "POST", Pattern: "/build", Operation: "ImageBuild"},
	{Method: "GET", Pattern: "/images/{name}/attestations", Operation: "ImageAttestations"},
	{Method: "GET", Pattern: "/images/search", Operation: "ImageSearch"},
	{Method: "POST", Pattern: "/session", Operation: "Session"},
	{Method: "POST", Pattern: "/grpc", Operation: "GRPC"},
	{Method: "PUT", Pattern: "/volumes/{id}", Operation: "VolumeUpdate"},
	{Method: "POST", Pattern: "/networks/create", Operation: "NetworkCreate"},
	{Method: "DELETE", Pattern: "/networks/{id}", Operation: "NetworkDelete"},
	{Method: "POST", Pattern: "/networks/{id}/connect", Operation: "NetworkConnect"},
	{Method: "POST", Pattern: "/networks/{id}/disconnect", Operation: "NetworkDisconnect"},
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

// swarm are the operations of a cluster, which this engine is no part of.
var swarm = []Route{
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

// clusterMakers begin or leave a cluster; they are missing, not misplaced.
var clusterMakers = map[string]bool{"SwarmInit": true, "SwarmJoin": true}

var errNoManager = errdefs.ErrUnavailable.WithMessage(`This node is not a swarm manager. ` +
	`Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.`)

func missingRoutes() []Route {
	var table []Route
	for _, r := range missing {
		table = append(table, notYet(r))
	}
	for _, r := range swarm {
		if clusterMakers[r.Operation] {
			table = append(table, notYet(r))
			continue
		}
		r.serve = func(http.ResponseWriter, *request) error { return errNoManager }
		table = append(table, r)
	}
	return table
}

func notYet(r Route) Route {
	text := fmt.Sprintf("%s (%s %s) is not supported by Berth yet", r.Operation, r.Method, r.Pattern)
	if r.Operation == "ImageSearch" {
		text = "Berth does not search: registries have no search in common. Pull an image by its name; a registry lists its repositories at https://HOST/v2/_catalog"
	}
	err := errdefs.ErrNotImplemented.WithMessage(text)
	r.serve = func(http.ResponseWriter, *request) error { return err }
	return r
}
