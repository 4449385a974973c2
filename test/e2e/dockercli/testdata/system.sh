docker version --format '{{.Server.APIVersion | printf "%.0s"}}{{.Server.Os}} {{.Server.Arch}} {{.Client.APIVersion}}'
? docker version
? docker info
docker system info --format '{{.OSType}} {{.Architecture}} {{.NCPU}} {{.CgroupDriver}} {{.CgroupVersion}} {{.Swarm.LocalNodeState}} {{.KernelVersion}} {{.MemTotal}} {{.IPv4Forwarding}} {{.OomKillDisable}} {{.PidsLimit}}'
docker info --format '{{.Containers}} {{.ContainersRunning}} {{.ContainersPaused}} {{.ContainersStopped}}'
docker info --format '{{.Nosuch}}'
docker run --name ev --label l=1 busybox true
docker rm ev && sleep 1.1
docker events --since 10m --until 0s --filter container=ev --filter type=container --filter event=create --filter event=die --format '{{.Type}} {{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.image}} {{.Actor.Attributes.exitCode}}'
docker system events --since 10m --until 0s --filter label=l=1 --format '{{.Action}}'
docker events --since 10m --until 0s --filter container=ev | sed 's/^[^ ]* //; s/execDuration=[0-9]*, //'
docker events --until 0s --since 10m --filter nosuch=1 --filter container=ev --format '{{.Action}}'
docker events --until nosuch
docker events --since 10m --until 0s --filter type=volume --filter volume=evv --format '{{.Action}}'
docker volume create evv
docker volume rm evv && sleep 1.1
docker events --since 10m --until 0s --filter volume=evv --format '{{.Type}} {{.Action}} {{.Actor.ID}} {{json .Actor.Attributes}}'
docker tag busybox ev:1
docker rmi ev:1 >/dev/null && sleep 1.1
docker events --since 10m --until 0s --filter image=ev:1 --format '{{.Type}} {{.Action}} {{.Actor.Attributes.name}}'
? docker system df
? docker system df --verbose
docker system df --format '{{.Type}} {{.TotalCount}} {{.Active}}'
docker run --name stopped busybox true
docker system prune --force --filter label=nosuch
docker system prune --force --filter nosuch=1
docker system prune --force | grep -c Deleted
docker system prune --all --force --filter label=nosuch
docker system prune --volumes --force | grep -c Deleted
docker context create --description d --docker host=unix:///nosuch other
docker context create --from other third
docker context ls --format '{{.Name}} {{.Description}}'
docker context ls --quiet
docker context inspect --format '{{.Name}}' other
docker context update --description e --docker host=unix:///nosuch2 other
docker context export other - | tar t | sort
docker context export other ctx.tar && docker context import fourth ctx.tar
docker context use third
docker context show
docker context rm --force third other fourth
docker checkpoint create --checkpoint-dir /tmp --leave-running nosuch c1
docker checkpoint ls --checkpoint-dir /tmp nosuch
docker checkpoint rm --checkpoint-dir /tmp nosuch c1
