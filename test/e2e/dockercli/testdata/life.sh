docker container run --detach --name aa --label kind=life busybox sh -c 'trap "echo stopped; exit 5" TERM; trap "echo hup" HUP; echo up; while :; do sleep 0.05; done'
until docker logs aa | grep -q up; do sleep 0.05; done
docker ps --format '{{.Names}} {{.Image}} {{.State}} {{.Label "kind"}} {{.Labels}} {{.Networks}} {{.Mounts}} {{.LocalVolumes}} {{.RunningFor}}'
docker container ls --no-trunc --filter name=aa --filter status=running --filter label=kind --filter ancestor=busybox --format '{{.Names}} {{.Command}}'
docker ps --filter nosuch=1
docker ps --filter status=nosuch
docker ps --filter health=none --filter exited=0 --filter is-task=false --filter expose=80 --filter publish=80 --filter volume=/x --filter network=bridge --filter before=aa --filter since=aa --filter id=x
docker ps --last 1 --format '{{.Names}}'
docker ps --latest --format '{{.Names}}'
? docker ps --size
docker ps | sed 's/aa$/A/'
docker pause aa
docker ps --filter status=paused --format '{{.Names}} {{.Status}}'
docker container pause aa
docker exec aa true
docker unpause aa
docker container unpause aa
docker kill --signal HUP aa
until docker logs aa | grep -q hup; do sleep 0.05; done
docker container kill --signal NOPE aa
docker rename aa bb
docker container rename bb aa
docker rename aa aa
docker rename nosuch xx
docker rename aa 'in valid'
docker stop --timeout 9 aa
docker container stop aa
docker wait aa
docker container wait nosuch
docker logs aa
docker inspect --format '{{.State.Status}} {{.State.ExitCode}} {{.State.Running}} {{.State.OOMKilled}} {{.State.Error}} {{.RestartCount}}' aa
docker start aa
docker container start aa nosuch
docker stop --signal KILL --timeout 1 aa
docker restart --timeout 1 --signal KILL aa
docker container restart --timeout 0 aa nosuch
docker top aa -o comm
docker container top aa o pid,args | sed -n 1p
docker top aa nosuchoption
docker rm aa
docker container rm --force aa
docker rm --force nosuch
docker rm nosuch
docker run --name aa busybox sh -c 'echo once; exit 4'
docker start --attach aa
echo hi | docker run --interactive --name in busybox cat
echo again | docker start --attach --interactive --detach-keys ctrl-a in
docker start --checkpoint c1 --checkpoint-dir /tmp aa
docker ps --all --filter exited=4 --format '{{.Names}} {{.Status}}'
docker ps --all --filter exited=nosuch
docker container ls --all --quiet --filter name=^/in$ | grep -c .
docker container rm --volumes aa in
docker rm --link nosuch/x
docker run --detach --name upd busybox sleep 100
docker update --memory 64m --memory-swap 128m --cpu-shares 100 --pids-limit 20 --restart unless-stopped upd
docker container update --cpus 0.5 --cpuset-cpus 0 --cpuset-mems 0 --memory-reservation 32m upd
docker update --cpu-period 100000 --cpu-quota 50000 upd
docker update --blkio-weight 100 nosuch
docker update --cpu-rt-period 1000000 --cpu-rt-runtime 0 nosuch
docker update --memory 1k upd
docker update upd
docker inspect --format '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.CpuShares}} {{.HostConfig.PidsLimit}} {{.HostConfig.RestartPolicy}} {{.HostConfig.NanoCpus}} {{.HostConfig.MemoryReservation}}' upd
docker container prune --force --filter nosuch=1
docker container prune --force --filter label=nosuch
docker rm --force upd
docker run --name p1 --label prune=1 busybox true && sleep 1.1
docker container prune --filter label=prune --filter until=0s --force | sed 's/reclaimed.*/reclaimed/'
docker container prune --filter label!=prune --force | sed 's/reclaimed.*/reclaimed/'
docker run --detach --name web --publish 127.0.0.1:8123:80 --publish 8124:81/udp busybox sleep 100
docker port web
docker container port web 80
docker port web 81/udp
docker port web 99
docker port nosuch
docker ps --format '{{.Ports}}'
? docker stats --no-stream web
docker container stats --all --no-stream --no-trunc --format '{{.Name}}' web
docker stats --no-stream nosuch
docker rm --force web
