docker tag busybox localhost:5000/team/box:1
docker push localhost:5000/team/box:1 | sed 's/size: .*/size/; s/sha256:[0-9a-zA-Z]*/DIGEST/; s/^[0-9A-Za-z]*: /ID: /' | sort -u
docker tag busybox localhost:5000/team/box:2
docker image push --quiet --all-tags --disable-content-trust localhost:5000/team/box
docker push --platform linux/amd64 localhost:5000/team/box:1
docker push localhost:5000/team/box:nosuch
docker push nosuch
docker rmi localhost:5000/team/box:1 localhost:5000/team/box:2 | sed 's/sha256:.*/DIGEST/' | sort -u
docker pull --quiet localhost:5000/team/box:1
docker pull localhost:5000/team/box:1 | sed 's/sha256:.*/DIGEST/' | tail -3
docker image pull --all-tags --quiet --disable-content-trust localhost:5000/team/box
docker pull --platform linux/amd64 --quiet localhost:5000/team/box:2
docker pull --platform linux/arm64 localhost:5000/team/box:2
docker pull --platform nosuch/x/y/z localhost:5000/team/box:2
docker pull localhost:5000/team/box:nosuch
docker pull localhost:5000/nosuch
docker pull localhost:1/x
docker pull In:Valid
docker images localhost:5000/team/box --format '{{.Repository}}:{{.Tag}}' | sort
docker pull localhost:5001/team/box
echo wrong | docker login --username user --password-stdin localhost:5001
echo secret | docker login --username user --password-stdin localhost:5001 2>/dev/null
docker login --username user --password secret localhost:5001 2>/dev/null
docker tag busybox localhost:5001/private:1
docker push --quiet localhost:5001/private:1
docker pull --quiet localhost:5001/private:1
docker logout localhost:5001
docker push localhost:5001/private:1 | tail -1 | sed 's/^[0-9A-Za-z]*: /ID: /'
docker pull localhost:5001/private:1
docker login --username user --password secret localhost:1
docker search --limit 5 --no-trunc --filter stars=3 --format '{{.Name}}' localhost:5000/team
docker search --limit 500 x
docker manifest create --insecure localhost:5000/team/list localhost:5000/team/box:1
docker manifest create --insecure --amend localhost:5000/team/list localhost:5000/team/box:2
docker manifest annotate --os linux --arch arm64 --variant v8 --os-version 1 --os-features x localhost:5000/team/list localhost:5000/team/box:2
docker manifest push --purge --insecure localhost:5000/team/list >/dev/null && echo pushed
docker manifest inspect --insecure localhost:5000/team/list | grep -E 'architecture|variant' | sort
docker manifest inspect --insecure --verbose localhost:5000/team/box:1 | grep '"Ref"'
docker manifest rm localhost:5000/team/nosuch
docker rmi localhost:5000/team/box:1 localhost:5000/team/box:2 localhost:5001/private:1 | sed 's/sha256:.*/DIGEST/' | sort -u
