docker network ls --format '{{.Name}} {{.Driver}} {{.Scope}}' | sort
docker network ls --no-trunc --quiet --filter name=bridge --filter driver=bridge --filter type=builtin | grep -c .
docker network ls --filter nosuch=1
docker network create --driver bridge --subnet 10.77.0.0/24 --gateway 10.77.0.1 --ip-range 10.77.0.128/25 --aux-address spare=10.77.0.5 --label a=b --opt com.docker.network.bridge.name=nett --attachable --internal net
docker network inspect --format '{{.Name}} {{.Driver}} {{.Internal}} {{.Attachable}} {{json .IPAM}} {{json .Options}} {{json .Labels}}' net
docker network inspect --verbose --format '{{.Scope}} {{.EnableIPv6}} {{.Ingress}} {{.ConfigOnly}} {{len .Containers}}' net
docker network create net
docker network create --subnet 10.77.0.0/25 overlapping
docker network create --subnet nosuch bad
docker network create --subnet 10.78.0.0/24 --gateway 10.99.0.1 bad
docker network create --driver nosuch bad
docker network create --ipam-driver nosuch --ipam-opt a=b bad
docker network create --ipv4=false bad
docker network create --ipv6 --subnet fd00:77::/64 six
docker network create --config-only cfg
docker network create --config-from cfg cfged
docker network create --ingress bad
docker network create --scope swarm bad
docker network create bridge
docker network create 'b@d name'
docker network inspect nosuch
docker run --detach --name n1 --network net --ip 10.77.0.50 --network-alias first busybox sleep 100
docker inspect --format '{{range $n, $e := .NetworkSettings.Networks}}{{$n}} {{$e.IPAddress}} {{$e.IPPrefixLen}} {{$e.Gateway}} {{end}}' n1
docker network inspect --format '{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}' net
docker run --rm --network net busybox sh -c 'nslookup first 127.0.0.11 >/dev/null && ping -c1 -w5 n1 >/dev/null && echo reached'
docker run --detach --name n2 busybox sleep 100
docker network connect --alias second --link n1:one --ip 10.77.0.60 net n2
docker network connect net n2
docker network connect --driver-opt a=b --gw-priority 1 --link-local-ip 169.254.3.4 --ip6 fd00:77::5 six n2
docker network connect net nosuch
docker network connect nosuch n2
docker inspect --format '{{range $n, $e := .NetworkSettings.Networks}}{{$n}} {{json $e.Links}} {{end}}' n2
docker network rm net
docker network disconnect net n2
docker network disconnect --force net n2
docker network disconnect --force net n1
docker network rm --force nosuch
docker network rm nosuch
docker network rm bridge
docker ps --filter network=net --quiet
docker rm --force n1 n2
docker network prune --force --filter label=nosuch
docker network prune --filter nosuch=1 --force
docker network prune --force | sort
docker network ls --format '{{.Name}}' | sort
