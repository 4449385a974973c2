# docker run: how it ends
docker run --rm busybox echo hi
docker run --name gone --rm busybox sh -c 'echo out; echo err >&2; exit 3'
docker run --rm busybox nosuch
docker run --rm busybox /etc/notprogram
docker run --rm --pull never nosuch:1 true
docker run --rm --nosuch busybox
docker run --rm busybox:latest --rm
docker run --rm --name b@d busybox true
docker run --rm --quiet --platform linux/amd64 busybox uname -s
docker run --rm --pull never --disable-content-trust=false busybox true
echo in | docker run --rm --interactive busybox cat
echo in | docker run --rm -i --attach stdin --attach stdout busybox cat
docker run --attach stdout --rm busybox sh -c 'echo out; echo err >&2'
docker run --detach --name bg --cidfile cid busybox sh -c 'echo started; exec sleep 100' && test "$(cat cid)" = "$(docker inspect -f '{{.Id}}' bg)"
docker run --name bg busybox true
docker run --rm --cidfile cid busybox true
docker rm --force bg
docker run -d --rm --detach-keys ctrl-x --sig-proxy=false --name bg busybox sleep 100
docker kill bg
# what it looks like inside
docker run --rm --env A=1 --env B --env-file <(echo C=3) --entrypoint env busybox
docker run --rm --workdir /tmp/new/dir busybox pwd
docker run --rm --user user busybox id
docker run --rm --user 7:8 --group-add staff --group-add 99 busybox id
docker run --rm --user nobody-such busybox id
docker run --rm --hostname box --domainname dom.example busybox hostname
docker run --rm --hostname box --domainname dom.example busybox cat /etc/hostname
docker run --rm --add-host db:10.1.2.3 --add-host=six:fe80::1 busybox sh -c 'grep -E "db|six" /etc/hosts'
docker run --rm --add-host bad busybox true
docker run --rm --dns 10.9.8.7 --dns-search a.example --dns-option ndots:3 busybox cat /etc/resolv.conf
docker run --rm --read-only busybox touch /x
docker run --rm --read-only --tmpfs /t:size=64k,mode=700 busybox sh -c 'touch /t/x && df -k /t | tail -1 | cut -d" " -f1'
docker run --rm --mount type=tmpfs,destination=/t,tmpfs-size=65536 busybox sh -c 'grep " /t " /proc/mounts | cut -d" " -f1-3'
docker run --rm --shm-size 1m busybox sh -c 'df -k /dev/shm | tail -1 | grep -o 1024'
docker run --rm --init busybox sh -c 'tr "\0" " " < /proc/1/cmdline | cut -d" " -f1'
docker create --privileged --name priv busybox && docker rm priv
docker run --rm --cap-add NET_ADMIN --cap-drop CHOWN busybox sh -c 'grep CapEff /proc/self/status'
docker run --rm --cap-drop ALL busybox sh -c 'grep CapEff /proc/self/status'
docker run --rm --cap-add FLY busybox true
docker run --rm --security-opt no-new-privileges busybox sh -c 'grep NoNewPrivs /proc/self/status'
docker run --rm --security-opt seccomp=unconfined busybox sh -c 'grep Seccomp: /proc/self/status'
docker run --rm --security-opt nosuch=1 busybox true
docker run --rm --ulimit nofile=100:200 --ulimit core=0 busybox sh -c 'ulimit -n; ulimit -Hn; ulimit -c'
docker run --rm --sysctl net.ipv4.ip_unprivileged_port_start=80 busybox cat /proc/sys/net/ipv4/ip_unprivileged_port_start
docker run --rm --sysctl kernel.nosuch=1 busybox true
docker run --rm --device /dev/null:/dev/mynull:rw busybox test -c /dev/mynull
docker run --rm --device /dev/nosuch busybox true
docker run --rm --device-cgroup-rule 'c 1:3 rwm' busybox true
docker run --rm --device-cgroup-rule 'x' busybox true
docker run --rm --pid host busybox sh -c 'test $$ -gt 1 && echo host'
docker run --rm --pid container:nosuch busybox true
docker run --rm --ipc private busybox true
docker run --rm --ipc nosuch busybox true
docker run --rm --uts host busybox true
docker run --rm --uts host --hostname x busybox true
docker run --rm --cgroupns private busybox true
docker run --rm --cgroupns nosuch busybox true
docker run --rm --userns host busybox cat /proc/self/uid_map
docker run --rm --userns nosuch busybox true
docker run --rm --network none busybox ls /sys/class/net
docker run --rm --network host busybox true
docker run --rm --network nosuch busybox true
docker run --rm --network container:nosuch busybox true
docker run --rm --tty busybox tty
docker run --rm --runtime nosuch busybox true
docker run --rm --use-api-socket busybox true
docker run --rm --gpus all busybox true
docker run --rm --isolation hyperv busybox true
docker run --rm --isolation default busybox true
docker run --rm --volume-driver nosuch -v v0:/v busybox true
docker run --rm --storage-opt nosuch=1 busybox true
docker run --rm --restart always busybox true
docker run --rm --log-driver none busybox echo unlogged
docker run --rm --log-driver nosuch busybox true
docker run --rm --log-driver json-file --log-opt max-size=1m --log-opt max-file=2 busybox echo logged
docker run --rm --log-driver json-file --log-opt nosuch=1 busybox true
docker run --rm --stop-signal NOPE busybox true
docker run --rm --label-file <(echo d=e) busybox true
docker run --rm --memory 1k busybox true
docker run --rm --kernel-memory 8m busybox true
docker run --rm --cpus 1000 busybox true
docker run --rm --cpuset-cpus 900 busybox true
docker run --rm --cpuset-mems 900 busybox true
docker run --rm --memory 32m --memory-swap 16m busybox true
docker run --rm --memory-swappiness 200 busybox true
docker run --rm --oom-score-adj 2000 busybox true
docker run --rm --health-interval 1ns busybox true
docker run --rm --expose nosuch busybox true
docker run --rm --publish 99999:1 busybox true
docker run --rm --mac-address nosuch busybox true
docker run --rm --ip 1.2.3.4 busybox true
docker run --rm --ip6 fe80::5 busybox true
docker run --rm --link nosuch busybox true
docker run --rm --link-local-ip 169.254.1.2 busybox true
docker run --rm --network-alias x busybox true
docker run --rm --annotation a=b busybox true
docker run --rm --mount type=bind,source=/no/such,destination=/x busybox true
docker run --rm --mount type=nosuch,destination=/x busybox true
docker run --rm --volume relative/path:/x busybox true
docker run --rm --volume /tmp:relative busybox true
docker run --rm --volume v1:/a --volume v1:/a busybox true
docker run --rm --volumes-from nosuch busybox true
docker run --rm --env =x busybox true
docker run --rm --workdir relative busybox pwd
docker run --rm --help | head -3
docker rm --force $(docker ps --all --quiet) >/dev/null
docker volume ls
