"""The ordinary cases of docker-py's users, each a function; the engine is DOCKER_HOST's."""
import io
import socket
import tarfile
import threading
import time

import docker

client = docker.from_env()


def case(f):
    f()
    print("ok", f.__name__, flush=True)


@case
def system():
    assert client.ping()
    assert client.version()["ApiVersion"]
    info = client.info()
    assert info["Containers"] == 0 and info["Driver"] and info["OSType"] == "linux", info
    assert client.df()


@case
def run_returns_the_output():
    assert client.containers.run("busybox", "echo hello", remove=True) == b"hello\n"
    out = client.containers.run("busybox", ["sh", "-c", "echo out; echo err >&2"], stdout=True, stderr=True, remove=True)
    assert sorted(out.split()) == [b"err", b"out"], out


@case
def run_fails_with_the_exit_code():
    try:
        client.containers.run("busybox", ["sh", "-c", "echo no >&2; exit 3"], remove=True)
    except docker.errors.ContainerError as e:
        assert e.exit_status == 3 and b"no" in e.stderr, e
    else:
        raise AssertionError("no ContainerError")
    try:
        client.containers.run("busybox", "nosuch", remove=True)
    except docker.errors.APIError as e:
        assert e.is_client_error() or e.is_server_error()
    else:
        raise AssertionError("no APIError")
    try:
        client.containers.get("nosuch")
    except docker.errors.NotFound as e:
        assert "No such container: nosuch" in e.explanation
    try:
        client.images.get("nosuch")
    except docker.errors.ImageNotFound as e:
        assert "No such image" in e.explanation, e.explanation


@case
def a_life():
    c = client.containers.run("busybox", ["sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.1; done"], detach=True, name="life",
                              labels={"a": "b"}, environment={"X": "1"}, hostname="host1", mem_limit="64m", cpu_shares=512,
                              working_dir="/tmp", tmpfs={"/scratch": "size=1m"}, cap_drop=["ALL"], ulimits=[docker.types.Ulimit(name="nofile", soft=100, hard=200)])
    for line in c.logs(stream=True, follow=True):
        assert line == b"up\n"
        break
    c.reload()
    assert c.status == "running" and c.labels == {"a": "b"} and c.name == "life"
    assert c.attrs["HostConfig"]["Memory"] == 64 << 20
    code, out = c.exec_run("sh -c 'echo $X; hostname; pwd'", environment={"X": "2"})
    assert (code, out) == (0, b"2\nhost1\n/tmp\n"), (code, out)
    code, out = c.exec_run(["sh", "-c", "echo a; echo b >&2; exit 4"], demux=True)
    assert (code, out) == (4, (b"a\n", b"b\n")), (code, out)
    code, stream = c.exec_run("echo streamed", stream=True)
    assert b"".join(stream) == b"streamed\n"
    assert c.top()["Processes"]
    stats = c.stats(stream=False)
    assert stats["memory_stats"]["usage"] > 0 and stats["cpu_stats"]["cpu_usage"]["total_usage"] > 0
    next(c.stats(decode=True))
    c.pause()
    c.reload()
    assert c.status == "paused"
    c.unpause()
    c.rename("life2")
    c.update(mem_limit="96m", memswap_limit="96m")
    assert client.containers.list(filters={"label": "a=b"})[0].id == c.id
    assert client.containers.list(filters={"name": "life2", "status": "running"})
    c.stop(timeout=10)
    assert c.wait()["StatusCode"] == 7
    c.start()
    c.restart(timeout=1)
    c.kill()
    c.wait(condition="not-running")
    c.remove()
    assert client.containers.list(all=True, filters={"label": "a=b"}) == []


@case
def files():
    c = client.containers.create("busybox", "cat /tmp/in.txt")
    b = io.BytesIO()
    with tarfile.open(fileobj=b, mode="w") as t:
        header = tarfile.TarInfo("in.txt")
        header.size = 5
        t.addfile(header, io.BytesIO(b"inner"))
    assert c.put_archive("/tmp", b.getvalue())
    stream, stat = c.get_archive("/tmp/in.txt")
    assert stat["name"] == "in.txt" and stat["size"] == 5
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as t:
        assert t.extractfile("in.txt").read() == b"inner"
    c.start()
    c.wait()
    assert c.logs() == b"inner"
    assert {"Path": "/tmp/in.txt", "Kind": 1} in c.diff()
    made = c.commit("committed", tag="v1", message="m", author="a", changes=["ENV A=1"])
    assert made.tags == ["committed:v1"]
    assert b"".join(c.export())[:1]
    c.remove()
    assert b"A=1" in client.containers.run("committed:v1", "env", remove=True)
    client.images.remove("committed:v1")


@case
def attached():
    c = client.containers.create("busybox", "cat", stdin_open=True, tty=False)
    s = c.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    c.start()
    s._sock.sendall(b"over the socket\n")
    s._sock.shutdown(socket.SHUT_WR)
    got = b""
    while True:
        part = s.read(4096)
        if not part:
            break
        got += part
    assert got[8:] == b"over the socket\n", got
    assert c.wait(timeout=10)["StatusCode"] == 0
    c.remove()


@case
def images():
    image = client.images.get("busybox")
    assert "busybox:latest" in image.tags
    assert image.tag("other", "t1")
    assert [i for i in client.images.list(name="other") if "other:t1" in i.tags]
    image.reload()
    saved = b"".join(image.save(named="other:t1"))
    client.images.remove("other:t1")
    loaded = client.images.load(saved)
    assert loaded[0].tags and image.history()
    client.images.remove("other:t1")
    assert client.images.prune(filters={"dangling": True})["SpaceReclaimed"] is not None


@case
def volumes():
    v = client.volumes.create("data", labels={"x": "y"})
    client.containers.run("busybox", "sh -c 'echo kept > /v/f'", volumes={"data": {"bind": "/v", "mode": "rw"}}, remove=True)
    mount = docker.types.Mount(target="/v", source="data", type="volume", read_only=True)
    assert client.containers.run("busybox", "cat /v/f", mounts=[mount], remove=True) == b"kept\n"
    assert client.volumes.list(filters={"label": "x=y"}) == [v] and v.attrs["Mountpoint"]
    v.remove()
    assert client.volumes.list() == []


@case
def networks():
    pool = docker.types.IPAMPool(subnet="10.123.0.0/24", gateway="10.123.0.1")
    n = client.networks.create("net1", driver="bridge", ipam=docker.types.IPAMConfig(pool_configs=[pool]), labels={"n": "1"})
    server = client.containers.run("busybox", "httpd -f -p 80 -h /www", detach=True, name="server", network="net1", ports={"80/tcp": ("127.0.0.1", None)})
    assert client.containers.run("busybox", "wget -qO- http://server/", network="net1", remove=True) == b"hello from a container\n"
    server.reload()
    assert server.ports["80/tcp"][0]["HostIp"] == "127.0.0.1"
    assert server.attrs["NetworkSettings"]["Networks"]["net1"]["IPAddress"].startswith("10.123.0.")
    other = client.networks.create("net2")
    other.connect(server, aliases=["alias"])
    assert client.containers.run("busybox", "wget -qO- http://alias/", network="net2", remove=True) == b"hello from a container\n"
    other.disconnect(server)
    assert client.networks.list(names=["net1"])[0].id == n.id
    server.remove(force=True)
    n.remove()
    other.remove()


@case
def events():
    since = int(time.time()) - 1
    stream = client.events(decode=True, since=since, filters={"type": "container", "label": "case=events", "event": ["create", "start", "die", "destroy"]})
    seen = []

    def listen():
        for e in stream:
            seen.append(e["Action"])
            if e["Action"] == "destroy":
                return

    t = threading.Thread(target=listen)
    t.start()
    client.containers.run("busybox", "true", labels={"case": "events"}, remove=True)
    t.join(30)
    stream.close()
    assert seen == ["create", "start", "die", "destroy"], seen


@case
def builds():
    image, log = client.images.build(fileobj=io.BytesIO(b"FROM busybox\nENV BUILT=yes\nRUN echo $BUILT > /built\nCMD cat /built\n"), tag="built:1", rm=True)
    assert any("stream" in line for line in log)
    assert client.containers.run("built:1", remove=True) == b"yes\n"
    try:
        client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN exit 5\n"), rm=True)
    except docker.errors.BuildError as e:
        assert "5" in e.msg, e.msg
    else:
        raise AssertionError("no BuildError")
    client.images.remove("built:1")


@case
def all_is_tidied():
    # docker-py leaves what it could create and not start, and the builder what failed.
    assert len(client.containers.prune()["ContainersDeleted"]) >= 1
    assert client.containers.list(all=True) == []
