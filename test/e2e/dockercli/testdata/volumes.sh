docker volume create --label a=b vol
docker volume create vol
docker volume create --driver nosuch vv
docker volume create --opt nosuch=1 vv
docker volume create --driver local --opt type=tmpfs --opt device=tmpfs --opt o=size=64k small
docker volume create in/valid
docker volume ls
docker volume ls --quiet --filter label=a --filter driver=local --filter name=vo --filter dangling=true
docker volume ls --filter nosuch=1
docker volume ls --cluster
docker volume ls --format '{{.Name}} {{.Driver}} {{.Scope}} {{.Labels}}'
docker volume inspect --format '{{.Name}} {{.Driver}} {{.Scope}} {{.Labels}} {{.Options}}' vol small
docker volume inspect nosuch
docker run --rm --volume vol:/v busybox sh -c 'echo kept > /v/f'
docker run --rm --volume vol:/v:ro busybox sh -c 'cat /v/f; touch /v/g'
docker run --rm --mount type=volume,source=vol,target=/www,volume-nocopy busybox ls /www
docker run --rm --volume copied:/www busybox ls /www
docker run --rm --volume small:/s busybox sh -c 'grep " /s " /proc/mounts | cut -d" " -f1-3'
docker run --detach --name user --volume vol:/v busybox sleep 100
docker volume rm vol
docker ps --filter volume=vol --format '{{.Names}} {{.Mounts}}'
docker run --rm --volumes-from user busybox cat /v/f
docker rm --force --volumes user
docker volume create --availability active --group g --limit-bytes 1 --required-bytes 1 --scope single --secret a=b --sharing none --topology-preferred a=b --topology-required c=d --type block cl
docker volume update --availability drain vol
docker volume prune --force --filter label=nosuch
docker volume prune --force --filter nosuch=1
docker volume prune --force --all | tail -1 | sed 's/reclaimed.*/reclaimed/'
docker volume prune --force | tail -1 | sed 's/reclaimed.*/reclaimed/'
docker volume rm --force nosuch vol small copied
docker volume rm nosuch
docker volume ls --quiet
