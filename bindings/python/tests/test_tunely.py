"""Tunely's client and server, as its README uses them, with the import changed; and Tunely's own programs on the other side."""

import asyncio
import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from support import DEADLINE, visit
from hvym_tunnel import AuthenticationFailed
from hvym_tunnel.tunely import (
    StreamChunkMessage,
    StreamEndMessage,
    StreamStartMessage,
    TunnelClient,
    TunnelClientConfig,
    TunnelServer,
    TunnelServerConfig,
    create_full_app,
)

uvicorn = pytest.importorskip("uvicorn")
fastapi = pytest.importorskip("fastapi")


class Served:
    """An application behind uvicorn on a port of its own."""

    def __init__(self, app):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="websockets-sansio"))
        self.thread = threading.Thread(target=lambda: self.server.run([self.socket]), daemon=True)

    def __enter__(self):
        self.thread.start()
        deadline = time.monotonic() + DEADLINE
        while not self.server.started:
            assert time.monotonic() < deadline and self.thread.is_alive()
            time.sleep(0.01)
        return self

    def __exit__(self, *arguments):
        self.server.should_exit = True
        self.thread.join(DEADLINE)
        self.socket.close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def agents(self):
        return f"ws://127.0.0.1:{self.port}/ws/tunnel"

    def api(self, method, path, body=None, headers=None):
        data = None if body is None else json.dumps(body)
        status, _, answer = visit(self.url + path, method, data, {"content-type": "application/json", **(headers or {})})
        return status, json.loads(answer)


@pytest.fixture
def readme(tmp_path):
    """The server of the README."""
    config = TunnelServerConfig(database_url=f"sqlite+aiosqlite:///{tmp_path}/data/tunnels.db")
    tunnel_server = TunnelServer(config=config)

    @contextlib.asynccontextmanager
    async def lifespan(app):
        await tunnel_server.initialize()
        yield
        await tunnel_server.close()

    app = fastapi.FastAPI(lifespan=lifespan)
    app.include_router(tunnel_server.router)

    @app.post("/forward-by-code")
    async def forward():
        response = await tunnel_server.forward(domain="my-agent", method="POST", path="/api/chat", body={"message": "hello"})
        return vars(response)

    @app.post("/stream-by-code")
    async def stream():
        told = []
        async for msg in tunnel_server.forward_stream(
            domain="my-agent", method="POST", path="/api/stream", body={"message": "hello"}
        ):
            if isinstance(msg, StreamStartMessage):
                told.append(["start", msg.status])
            elif isinstance(msg, StreamChunkMessage):
                told.append(["chunk", msg.data])
            elif isinstance(msg, StreamEndMessage):
                told.append(["end", msg.total_chunks, msg.error])
        return told

    with Served(app) as served:
        yield served


class Background:
    """A client on a loop of its own."""

    def __init__(self, client):
        self.client, self.failure = client, None
        self.connected, self.requests = threading.Event(), []
        client.on_connect(self.connected.set)
        client.on_request(self.requests.append)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=lambda: self.loop.run_until_complete(self.run()), daemon=True)

    async def run(self):
        self.leave = asyncio.Event()
        try:
            await self.client.run()
        except Exception as error:
            self.failure = error
        await asyncio.wait_for(self.leave.wait(), DEADLINE)

    def __enter__(self):
        self.thread.start()
        assert self.connected.wait(DEADLINE), self.failure
        return self

    def __exit__(self, *arguments):
        asyncio.run_coroutine_threadsafe(self.client.stop(), self.loop).result(DEADLINE)
        self.loop.call_soon_threadsafe(self.leave.set)
        self.thread.join(DEADLINE)
        assert not self.thread.is_alive()


def test_the_readme_works_with_the_import_changed(readme, origin):
    status, made = readme.api("POST", "/api/tunnels", {"domain": "my-agent"})
    assert status == 200 and made["token"].startswith("tun_")
    client = TunnelClient(server_url=readme.agents, token=made["token"], target_url=f"http://localhost:{origin}")
    with Background(client) as background:
        assert client.is_connected and client.domain == "my-agent"
        forwarded = {"method": "POST", "path": "/api/chat", "body": {"message": "hello"}}
        status, answer = readme.api("POST", "/api/tunnels/my-agent/forward", forwarded)
        assert (status, answer["status"]) == (200, 200)
        assert answer["body"]["path"] == "/api/chat"
        assert json.loads(answer["body"]["body"]) == {"message": "hello"}
        assert readme.api("POST", "/forward-by-code")[1]["body"]["method"] == "POST"
        told = readme.api("POST", "/stream-by-code")[1]
        assert (told[0], told[-1][0], told[-1][2]) == (["start", 200], "end", None)
        assert visit(f"{readme.url}/t/my-agent/by/path")[0] == 200
        assert readme.api("GET", "/api/tunnels/my-agent")[1]["connected"] is True
        assert [request.path for request in background.requests][:1] == ["/api/chat"]


def test_tunnels_are_created_listed_changed_and_deleted(readme):
    token = readme.api("POST", "/api/tunnels", {"domain": "one", "name": "first"})[1]["token"]
    assert readme.api("POST", "/api/tunnels", {"domain": "one"})[0] == 409
    for wrong in ("One", "-a", "a-", "a.b", "a\n", "x" * 64, ""):
        assert readme.api("POST", "/api/tunnels", {"domain": wrong})[0] == 400, wrong
    assert readme.api("POST", "/api/tunnels", {"domain": "x" * 63})[0] == 200
    assert readme.api("POST", "/api/tunnels", {"name": "no domain"})[0] == 422
    assert [tunnel["domain"] for tunnel in readme.api("GET", "/api/tunnels")[1]] == ["one", "x" * 63]
    assert readme.api("GET", "/api/tunnels/check-availability?name=one")[1]["available"] is False
    assert readme.api("GET", "/api/tunnels/check-availability?name=two")[1]["available"] is True
    assert readme.api("PUT", "/api/tunnels/one", {"description": "d", "enabled": False})[1]["enabled"] is False
    assert readme.api("POST", "/api/tunnels/one/regenerate-token")[1]["token"] != token
    assert readme.api("GET", "/api/tunnels/none")[0] == 404
    assert readme.api("DELETE", "/api/tunnels/one")[1] == {"success": True, "domain": "one"}
    assert readme.api("GET", "/api/tunnels/one")[0] == 404


def test_without_a_key_nobody_from_elsewhere_looks_after_tunnels(readme):
    assert readme.api("GET", "/api/tunnels")[0] == 200
    assert readme.api("GET", "/api/tunnels", headers={"x-forwarded-for": "127.0.0.1"})[0] == 401


def test_with_a_key_only_who_shows_it_does(tmp_path):
    config = TunnelServerConfig(database_url=f"sqlite:///{tmp_path}/t.db", admin_api_key="k" * 32)
    with Served(create_full_app(config)) as served:
        assert served.api("GET", "/api/tunnels")[0] == 401
        assert served.api("GET", "/api/tunnels", headers={"x-api-key": "wrong"})[0] == 401
        key = {"x-api-key": "k" * 32}
        token = served.api("POST", "/api/tunnels", {"domain": "a"}, key)[1]["token"]
        assert served.api("DELETE", "/api/tunnels/a", headers={"x-tunnel-token": "other"})[0] == 401
        assert served.api("DELETE", "/api/tunnels/a", headers={"x-tunnel-token": token})[0] == 200


def test_visitors_name_a_tunnel_in_the_host_name(tmp_path, origin):
    config = TunnelServerConfig(database_url=f"sqlite:///{tmp_path}/t.db", domain="tunely.localhost")
    with Served(create_full_app(config)) as served:
        token = served.api("POST", "/api/tunnels", {"domain": "app"})[1]["token"]
        with Background(TunnelClient(served.agents, token, f"http://127.0.0.1:{origin}")):
            status, _, body = visit(f"http://app.tunely.localhost:{served.port}/x", "POST", b"\x00\xff" * 100_000)
            assert (status, len(json.loads(body)["body"])) == (200, 200_000)
        assert visit(f"http://none.tunely.localhost:{served.port}/")[0] in (404, 503)
        assert visit(f"{served.url}/health")[2] == b'{"status":"ok"}'


def test_a_deleted_tunnel_cuts_its_agent_off(readme, origin):
    token = readme.api("POST", "/api/tunnels", {"domain": "gone"})[1]["token"]
    lost = threading.Event()
    client = TunnelClient(config=TunnelClientConfig(
        server_url=readme.agents, token=token, target_url=f"http://127.0.0.1:{origin}", reconnect_interval=0.05,
    ))
    client.on_disconnect(lost.set)
    with Background(client):
        readme.api("DELETE", "/api/tunnels/gone")
        assert lost.wait(DEADLINE)


def test_a_wrong_token_is_not_tried_for_ever(readme):
    client = TunnelClient(readme.agents, "tun_wrong_but_long_enough", "http://127.0.0.1:1")
    lost = threading.Event()
    client.on_disconnect(lost.set)

    async def run():
        task = asyncio.ensure_future(client.run())
        done, _ = await asyncio.wait({task}, timeout=5)
        if not done:
            # The server's uniform answer could also mean that another agent is connected, which passes.
            assert lost.is_set()
            await client.stop()
        try:
            await asyncio.wait_for(task, DEADLINE)
        except AuthenticationFailed:
            pass

    asyncio.run(run())


def test_attempts_are_limited_if_that_is_wanted():
    config = TunnelClientConfig(
        server_url="ws://127.0.0.1:1/ws/tunnel", token="tun_x", reconnect_interval=0.01, max_reconnect_attempts=2
    )
    client, failures = TunnelClient(config=config), []
    client.on_disconnect(lambda: failures.append(1))
    asyncio.run(asyncio.wait_for(client.run(), DEADLINE))
    assert len(failures) == 3


def test_settings_come_from_arguments_then_variables_then_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text('# a file\nWS_TUNNEL_CLIENT_TOKEN="from-file"\nWS_TUNNEL_CLIENT_FORCE=true\n')
    monkeypatch.setenv("WS_TUNNEL_CLIENT_SERVER_URL", "ws://from-variable")
    monkeypatch.setenv("WS_TUNNEL_CLIENT_RECONNECT_INTERVAL", "1.5")
    config = TunnelClientConfig(target_url="http://given")
    assert (config.token, config.force, config.server_url) == ("from-file", True, "ws://from-variable")
    assert (config.reconnect_interval, config.target_url) == (1.5, "http://given")
    assert "from-file" not in repr(config)
    monkeypatch.setenv("WS_TUNNEL_CLIENT_FORCE", "perhaps")
    with pytest.raises(ValueError, match="force"):
        TunnelClientConfig()


def test_the_tunnels_of_a_tunely_server_are_taken_over(tmp_path, capsys):
    from hvym_tunnel.tunely.cli import main

    old = sqlite3.connect(tmp_path / "old.db")
    columns = "id, domain, token, name, description, mode, enabled, created_at, updated_at, last_connected_at, total_requests"
    old.execute(f"CREATE TABLE tunnels ({columns})")
    for ident, domain in enumerate(["kept", "Upper"]):
        row = (ident + 1, domain, f"tun_of_{domain}_which_is_long", None, None, "http", 1, "2026-01-02 03:04:05", None, None, 7)
        old.execute(f"INSERT INTO tunnels VALUES ({','.join('?' * len(row))})", row)
    old.commit()
    old.close()
    new = f"sqlite:///{tmp_path}/new.db"
    with Served(create_full_app(TunnelServerConfig(database_url=new))):
        pass
    assert main(["import", f"sqlite:///{tmp_path}/old.db", "--database", new]) == 0
    told = capsys.readouterr().out
    assert "1 tunnel(s) added" in told and "'Upper'" in told
    with Served(create_full_app(TunnelServerConfig(database_url=new))) as served:
        assert [tunnel["domain"] for tunnel in served.api("GET", "/api/tunnels")[1]] == ["kept"]
    assert (tmp_path / "new.db").stat().st_mode & 0o777 == 0o600
    assert b"tun_of_kept" not in (tmp_path / "new.db").read_bytes()


TUNELY = Path(os.environ.get("HVYM_TUNNEL_TUNELY", "/nowhere"))
AGENTS = {
    "python-0.12.0": "bin/tunely",
    "python-0.2.1": "bin/tunely",
    "node-0.2.1": "node_modules/.bin/tunely",
}


@pytest.mark.parametrize("version", AGENTS)
def test_agents_of_tunely_itself_connect_to_the_server(readme, origin, version):
    program = TUNELY / version / AGENTS[version]
    if not program.exists():
        pytest.skip("HVYM_TUNNEL_TUNELY does not name its folder")
    token = readme.api("POST", "/api/tunnels", {"domain": "real"})[1]["token"]
    server = "--server" if version.startswith("python") else "-s"
    arguments = [program, "connect", server, readme.agents, "--token", token, "--target", f"http://127.0.0.1:{origin}"]
    agent = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + DEADLINE
        while not readme.api("GET", "/api/tunnels/real")[1]["connected"]:
            assert time.monotonic() < deadline and agent.poll() is None
            time.sleep(0.05)
        forwarded = {"method": "POST", "path": "/x", "body": {"a": 1}}
        answer = readme.api("POST", "/api/tunnels/real/forward", forwarded)[1]
        assert (answer["status"], json.loads(answer["body"]["body"])) == (200, {"a": 1})
        assert visit(f"{readme.url}/t/real/y")[0] == 200
    finally:
        agent.kill()
        agent.wait()


@pytest.mark.parametrize("version", ["python-0.12.0", "python-0.2.1"])
def test_the_client_connects_to_a_server_of_tunely_itself(tmp_path, origin, version):
    program = TUNELY / version / "bin/tunely"
    if not program.exists():
        pytest.skip("HVYM_TUNNEL_TUNELY does not name its folder")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = [program, "serve", "--host", "127.0.0.1", "--port", str(port), "--database", f"sqlite+aiosqlite:///{tmp_path}/t.db"]
    server = subprocess.Popen([str(each) for each in arguments], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url, deadline, made = f"http://127.0.0.1:{port}", time.monotonic() + DEADLINE, None
        while made is None:
            assert time.monotonic() < deadline and server.poll() is None
            try:
                headers = {"content-type": "application/json"}
                made = json.loads(visit(f"{url}/api/tunnels", "POST", b'{"domain": "app"}', headers)[2])
            except OSError:
                time.sleep(0.1)
        client = TunnelClient(f"ws://127.0.0.1:{port}/ws/tunnel", made["token"], f"http://127.0.0.1:{origin}")
        with Background(client):
            assert client.domain == "app"
            # The newer one sends the body as it is, and waits for the end of the connection.
            raw = {"body": "GET /z HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n"}
            asked = raw if version == "python-0.12.0" else {"method": "GET", "path": "/z"}
            body = json.dumps(asked)
            answer = json.loads(visit(f"{url}/api/tunnels/app/forward", "POST", body, headers)[2])
            assert answer["status"] == 200, answer
    finally:
        server.kill()
        server.wait()


def test_the_program_of_this_package_has_the_commands():
    ended = subprocess.run(
        [sys.executable, "-c", "from hvym_tunnel.tunely.cli import main; main(['--help'])"], capture_output=True, text=True
    )
    assert "serve" in ended.stdout and "connect" in ended.stdout and "tunnel" in ended.stdout
