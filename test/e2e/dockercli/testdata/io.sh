docker run --detach --interactive --name io busybox sh -c 'echo out; echo err >&2; until [ -e /go ]; do sleep 0.05; done; echo two; exec cat'
until docker logs io 2>&1 | grep -q err && docker logs io 2>&1 | grep -q out; do sleep 0.05; done; docker exec io touch /go
until docker logs io 2>&1 | grep -q two; do sleep 0.05; done
docker logs io
docker container logs --tail 1 io
docker logs --tail 0 io
docker logs --tail nosuch io
docker logs --timestamps io 2>/dev/null
docker logs --since 1h --until 2030-01-01T00:00:00Z io
docker logs --since 2030-01-01T00:00:00Z io
docker logs --since nosuch io
docker logs --details io
docker logs nosuch
docker attach --detach-keys ctrl-z --no-stdin io & sleep 1; docker kill io; wait
docker logs --follow io 2>/dev/null
docker wait io
docker attach io
docker container attach --no-stdin --sig-proxy=false nosuch
docker rm io
docker run --detach --name xx --user user --workdir /tmp busybox sleep 100
docker exec xx sh -c 'id; pwd; exit 6'
docker container exec --env A=b --env-file <(echo C=d) --user root --workdir /etc xx sh -c 'echo $A $C; id -u; pwd'
docker exec --privileged nosuch true
docker exec --tty xx tty
echo in | docker exec --interactive xx cat
docker exec --detach --detach-keys ctrl-z xx sleep 1
docker exec xx nosuch
docker exec xx /etc/notprogram
docker exec --workdir /nosuch xx true
docker exec --user nosuch xx true
docker exec nosuch true
docker exec xx
# copying
mkdir -p src/sub && echo one > src/one && echo two > src/sub/two && ln -sf one src/link
docker cp src xx:/tmp
docker cp --quiet src/. xx:/tmp/flat
docker exec xx sh -c 'cd /tmp; ls -R src flat'
docker cp src/one xx:/tmp/nosuch/dir/ 2>&1 | tail -1
docker cp xx:/tmp/src/link got && readlink got; rm -rf got
docker cp --follow-link xx:/tmp/src/link got && cat got; rm -rf got
docker container cp --archive xx:/tmp/src got && ls -R got; rm -rf got
docker cp xx:/tmp/src/one - | tar t
tar c -C src one | docker cp - xx:/tmp
docker exec xx cat /tmp/one
docker cp xx:/no/such .
docker cp nosuch:/x .
docker cp src/nosuch xx:/tmp
docker cp xx:/etc xx:/tmp
docker cp src xx:relative
docker diff xx | sort
docker container diff nosuch
docker export xx | tar t | grep -c ^bin/
docker container export --output x.tar x && tar t -f x.tar | grep -E '^tmp/(src|flat)/' | sort
docker export nosuch
# inspecting
docker inspect --type container --format '{{.Name}} {{.Path}} {{.Args}} {{.Config.User}}' xx
docker container inspect --size --format '{{gt .SizeRootFs 0}} {{gt .SizeRw 0}}' xx
docker inspect --size --format '{{gt .SizeRootFs 0}}' xx
docker inspect --type image xx
docker inspect --type nosuch xx
docker inspect nosuch
docker container inspect nosuch
docker inspect --format '{{.Nosuch}}' xx
docker rm --force xx
