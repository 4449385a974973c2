package server

// routes is the table of the whole API.
func routes(o Options) []Route {
	table := []Route{
		{"GET", "/_ping", "SystemPing", ping, false},
		{"HEAD", "/_ping", "SystemPingHead", ping, false},
		{"GET", "/version", "SystemVersion", showVersion(o.Version), false},
		{"GET", "/info", "SystemInfo", info(o.Engine), false},
		{"GET", "/events", "SystemEvents", watchEvents(o.Engine), true},
		{"GET", "/system/df", "SystemDataUsage", diskUsage(o.Engine, o.Images, o.Builder), false},
	}
	table = append(table, containerRoutes(o.Engine)...)
	table = append(table, networkRoutes(o.Engine)...)
	table = append(table, imageRoutes(o.Engine, o.Images)...)
	table = append(table, ownImageRoutes(o.Engine, o.Images)...)
	table = append(table, objectRoutes(o.Engine)...)
	table = append(table, buildRoutes(o.Builder)...)
	return append(table, missingRoutes()...)
}

func containerRoutes(e Engine) []Route {
	return []Route{
		{"GET", "/containers/json", "ContainerList", listContainers(e), false},
		{"POST", "/containers/create", "ContainerCreate", createContainer(e), false},
		{"GET", "/containers/{id}/json", "ContainerInspect", inspectContainer(e), false},
		{"GET", "/containers/{id}/top", "ContainerTop", topContainer(e), false},
		{"GET", "/containers/{id}/logs", "ContainerLogs", containerLogs(e), true},
		{"POST", "/containers/{id}/start", "ContainerStart", startContainer(e), false},
		{"POST", "/containers/{id}/stop", "ContainerStop", stopContainer(e), false},
		{"POST", "/containers/{id}/restart", "ContainerRestart", restartContainer(e), false},
		{"POST", "/containers/{id}/kill", "ContainerKill", killContainer(e), false},
		{"POST", "/containers/{id}/pause", "ContainerPause", pauseContainer(e), false},
		{"POST", "/containers/{id}/unpause", "ContainerUnpause", unpauseContainer(e), false},
		{"POST", "/containers/{id}/rename", "ContainerRename", renameContainer(e), false},
		{"POST", "/containers/{id}/resize", "ContainerResize", resizeContainer(e), false},
		{"POST", "/containers/{id}/attach", "ContainerAttach", attachContainer(e), true},
		{"GET", "/containers/{id}/attach/ws", "ContainerAttachWebsocket", attachSocket(e), true},
		{"POST", "/containers/{id}/wait", "ContainerWait", waitContainer(e), true},
		{"GET", "/containers/{id}/stats", "ContainerStats", containerStats(e), true},
		{"POST", "/containers/{id}/update", "ContainerUpdate", updateContainer(e), false},
		{"HEAD", "/containers/{id}/archive", "ContainerArchiveInfo", statPath(e), false},
		{"GET", "/containers/{id}/archive", "ContainerArchive", getArchive(e), true},
		{"PUT", "/containers/{id}/archive", "PutContainerArchive", putArchive(e), true},
		{"GET", "/containers/{id}/export", "ContainerExport", exportContainer(e), true},
		{"GET", "/containers/{id}/changes", "ContainerChanges", containerChanges(e), false},
		{"POST", "/commit", "ImageCommit", commitContainer(e), true},
		{"POST", "/containers/prune", "ContainerPrune", pruneContainers(e), false},
		{"DELETE", "/containers/{name}", "ContainerDelete", removeContainer(e), false},
		{"POST", "/containers/{id}/exec", "ContainerExec", createExec(e), false},
		{"POST", "/exec/{id}/start", "ExecStart", startExec(e), true},
		{"GET", "/exec/{id}/json", "ExecInspect", inspectExec(e), false},
		{"POST", "/exec/{id}/resize", "ExecResize", resizeExec(e), false},
	}
}

func imageRoutes(e Engine, i Images) []Route {
	return []Route{
		{"GET", "/images/json", "ImageList", listImages(i, e), false},
		{"POST", "/images/create", "ImageCreate", createImage(i, e), true},
		{"GET", "/images/{name}/json", "ImageInspect", inspectImage(i), false},
		{"GET", "/distribution/{name}/json", "DistributionInspect", inspectRemote(i), false},
		{"GET", "/images/search", "ImageSearch", searchImages(i), false},
		{"GET", "/images/{name}/attestations", "ImageAttestations", imageAttestations(i), false},
		{"GET", "/images/{name}/history", "ImageHistory", imageHistory(i), false},
		{"POST", "/images/{name}/push", "ImagePush", pushImage(i, e), true},
		{"POST", "/images/{name}/tag", "ImageTag", tagImage(i, e), false},
		{"DELETE", "/images/{name}", "ImageDelete", removeImage(i, e), false},
		{"POST", "/images/prune", "ImagePrune", pruneImages(e, i), false},
		{"POST", "/auth", "SystemAuth", login(i), true},
		{"POST", "/images/load", "ImageLoad", loadImages(i, e), true},
		{"GET", "/images/get", "ImageGetAll", saveImages(i, e), true},
		{"GET", "/images/{name}/get", "ImageGet", saveImages(i, e), true},
	}
}

func objectRoutes(e Engine) []Route {
	return []Route{
		{"GET", "/volumes", "VolumeList", listVolumes(e), false},
		{"POST", "/volumes/create", "VolumeCreate", createVolume(e), false},
		{"GET", "/volumes/{id}", "VolumeInspect", inspectVolume(e), false},
		{"DELETE", "/volumes/{id}", "VolumeDelete", removeVolume(e), false},
		{"POST", "/volumes/prune", "VolumePrune", pruneVolumes(e), false},
	}
}
