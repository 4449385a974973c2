# every option of create, as inspect shows it
docker create --name limits --cpu-period 50000 --cpu-quota 25000 --cpu-shares 512 --cpuset-cpus 0 --cpuset-mems 0 --memory 64m --memory-reservation 32m --memory-swap 128m --memory-swappiness 10 --oom-kill-disable --oom-score-adj 100 --pids-limit 50 busybox true
docker inspect --format '{{json .HostConfig}}' limits | python3 -c 'import json,sys; h=json.load(sys.stdin); print({k:v for k,v in sorted(h.items()) if v and k not in ("CgroupParent","LogConfig","Runtime","MaskedPaths","NetworkMode")})'
docker create --name limits2 --cpus 0.5 --cpu-rt-period 1000000 --cpu-rt-runtime 0 busybox true
docker create --blkio-weight-device /dev/zero:5 busybox
docker create --device-read-bps /dev/zero:x busybox
docker create --device-read-iops /dev/zero:x busybox
docker create --device-write-bps /dev/zero:x busybox
docker create --device-write-iops /dev/zero:x busybox
docker create --name limits2 --cpus 0.5 --cpu-count 1 busybox true
docker create --name windows1 --cpu-percent 50 busybox true
docker create --name windows2 --io-maxbandwidth 1m --io-maxiops 5 busybox true
docker create --name plain --label a=b --label c --label-file <(echo d=e) --env X=y --workdir /w --hostname h --domainname d --user 1:2 --stop-signal USR1 --stop-timeout 3 --interactive --tty --expose 80-82 --publish 127.0.0.1::81/udp --publish-all --restart on-failure:3 --volume named:/v --volume /anon --tmpfs /t --mount type=volume,source=other,destination=/o,readonly --cap-add SYS_TIME --add-host a:1.1.1.1 --dns 8.8.8.8 --dns-search s --dns-option o --group-add 7 --init --ipc shareable --pid host --uts host --security-opt no-new-privileges --sysctl net.core.somaxconn=5 --ulimit nproc=5 --shm-size 1m --read-only --network-alias al --mac-address 02:42:0a:00:00:09 --userns host --cgroupns host --privileged busybox cmd arg
docker create --name plain --label a=b --label c --label-file <(echo d=e) --env X=y --workdir /w --hostname h --domainname d --user 1:2 --stop-signal USR1 --stop-timeout 3 --interactive --tty --expose 80-82 --publish 127.0.0.1::81/udp --publish-all --restart on-failure:3 --volume named:/v --volume /anon --tmpfs /t --mount type=volume,source=other,destination=/o,readonly --cap-add SYS_TIME --add-host a:1.1.1.1 --dns 8.8.8.8 --dns-search s --dns-option o --group-add 7 --init --ipc shareable --security-opt no-new-privileges --sysctl net.core.somaxconn=5 --ulimit nproc=5 --shm-size 1m --read-only --mac-address 02:42:0a:00:00:09 --userns host --cgroupns host busybox cmd arg
docker inspect --format '{{json .HostConfig}}' plain | python3 -c 'import json,sys; h=json.load(sys.stdin); print({k:v for k,v in sorted(h.items()) if v and k not in ("CgroupParent","LogConfig","Runtime","MaskedPaths","NetworkMode")})'
docker inspect --format '{{json .Config}}' plain | python3 -c 'import json,sys; h=json.load(sys.stdin); print({k:v for k,v in sorted(h.items()) if v})'
docker inspect --format '{{json .NetworkSettings.Networks}} {{json .NetworkSettings.Ports}}' plain
docker inspect --format '{{range .Mounts}}{{.Type}} {{.Destination}} {{.Driver}} {{.Mode}} {{.RW}} {{.Propagation}};{{end}}' plain | tr ';' '\n' | sort
docker create --name health --health-cmd 'exit 0' --health-interval 5s --health-retries 2 --health-start-period 1s --health-start-interval 2s --health-timeout 3s busybox true
docker create --name health --health-cmd 'exit 0' --health-interval 5s --health-retries 2 --health-start-period 1s --health-timeout 3s busybox true
docker inspect --format '{{json .Config.Healthcheck}} {{json .State.Health}}' health
docker create --name nohealth --no-healthcheck busybox
docker inspect --format '{{json .Config.Healthcheck}} {{json .Config.Cmd}}' nohealth
docker create --name linked --link health:alias busybox true
docker inspect --format '{{json .HostConfig.Links}}' linked
docker create --name from --volumes-from plain:ro busybox true
docker inspect --format '{{json .HostConfig.VolumesFrom}} {{len .Mounts}}' from
docker container create --name parent --cgroup-parent /elsewhere --log-driver json-file --log-opt max-size=1m busybox
docker inspect --format '{{.HostConfig.CgroupParent}} {{json .HostConfig.LogConfig}}' parent
docker create --rm --name once --entrypoint '' --cidfile cid2 --attach stdout --pull missing --quiet --platform linux/amd64 --disable-content-trust --runtime '' busybox true
docker inspect --format '{{json .Config.Entrypoint}} {{.HostConfig.AutoRemove}} {{.State.Status}} {{.Config.AttachStdout}} {{.Config.AttachStdin}}' once
docker create --name plain busybox
docker create
docker create nosuch/image:1
docker ps --all --format '{{.Names}} {{.Image}} {{.Command}} {{.Status}} {{.Ports}}' | sort
docker rm limits limits2 plain health nohealth linked from parent once windows1 windows2
docker volume prune --all --force | grep -c .
docker volume prune --force | grep -c .
docker volume rm --force named other v0 v1
docker create --blkio-weight x busybox
docker create --publish-all --stop-timeout 3 --name pub busybox && docker rm pub
