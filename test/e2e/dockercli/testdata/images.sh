docker images --filter reference="b*" --format "{{.Repository}}:{{.Tag}}"
docker image ls --no-trunc --quiet busybox | grep -c sha256:
docker images --all --digests --filter reference='busy*' --format '{{.Repository}}'
docker images --filter dangling=true --quiet
docker images --filter nosuch=1
docker images --filter before=busybox --filter since=busybox --filter label=x
docker images --filter before=nosuch
docker images nosuch
docker images --tree
docker image inspect busybox --format '{{json .RepoTags}} {{.Os}} {{.Architecture}} {{json .Config.Cmd}} {{.Author}} {{len .RootFS.Layers}}'
docker image inspect nosuch
docker inspect --type image --format '{{.Os}}' busybox
docker image inspect --platform linux/amd64 busybox --format '{{.Os}}'
docker history busybox --format '{{.CreatedBy}} {{.Comment}}'
docker image history --no-trunc --human=false --quiet busybox | grep -c sha256
docker history --platform linux/amd64 --quiet busybox | grep -c .
docker history nosuch
docker tag busybox box:one
docker image tag busybox box:two
docker tag busybox localhost:5000/team/box
docker tag nosuch x
docker tag busybox In:Valid
docker images box --format '{{.Tag}}' | sort
docker run --name cc busybox sh -c 'echo change > /new'
docker commit --author me --message why --change 'CMD ["cat","/new"]' --change 'ENV A=b' --pause=false cc made:1
docker container commit cc
docker commit nosuch x
docker commit --change 'NOSUCH x' cc made:2
docker image inspect made:1 --format '{{.Author}} {{.Comment}} {{json .Config.Cmd}} {{json .Config.Env}} {{len .RootFS.Layers}}'
docker run --rm made:1
docker history made:1 --format '{{.CreatedBy}}|{{.Comment}}'
docker save --output made.tar made:1 busybox && tar t -f made.tar | grep -c manifest.json
docker image save made:1 | tar t | grep -c manifest.json
docker save nosuch
docker save --platform linux/amd64 made:1
docker rmi made:1 | grep -v @
docker image rm made:1
docker image rm --force --no-prune made:1
docker rmi busybox >/dev/null
docker rmi --platform linux/amd64 busybox
docker load --input made.tar | sort
docker image load --quiet --input made.tar | sort
docker load --platform linux/amd64 --input made.tar
docker load --input /dev/null
docker load < box.tar
docker run --rm made:1
docker rm cc
docker image prune --force --filter nosuch=1
docker image prune --force | sed 's/sha256:.*//; s/reclaimed.*/reclaimed/' | sort -u
docker image prune --all --filter label=x --force
docker rmi box:one box:two localhost:5000/team/box made:1 nosuch | grep -v -e @ -e Deleted | sort
docker image import --message msg --change 'ENTRYPOINT ["echo"]' --platform linux/amd64 box.tar imp:1
docker run --rm imp:1 hello
docker import --change 'NOSUCH' box.tar imp:2
docker import nosuch.tar
docker import http://127.0.0.1:1/x.tar
docker history imp:1 --format '{{.Comment}}'
docker rmi --force imp:1 | grep -v @
docker images --filter reference="b*" --format "{{.Repository}}:{{.Tag}}"
