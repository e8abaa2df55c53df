"""Tunely's client and embeddable server, by the names that its users know, against each other."""

import asyncio
import contextlib
import json
import os
import sqlite3
import threading

import pytest

from support import DEADLINE, visit
from tunely_support import Background, Served
from hvym_tunnel import AuthenticationFailed, TunnelError
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

pytest.importorskip("uvicorn")
fastapi = pytest.importorskip("fastapi")


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
    async def forward(path: str = "/api/chat"):
        response = await tunnel_server.forward(domain="my-agent", method="POST", path=path, body={"message": "hello"})
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


def test_without_a_key_pages_in_browsers_of_this_machine_look_after_no_tunnels(readme):
    for own in ("localhost", "127.0.0.1", "[::1]", "app.localhost"):
        assert readme.api("GET", "/api/tunnels", headers={"Host": f"{own}:8000", "origin": f"http://{own}:3000"})[0] == 200
    for foreign in ({"origin": "https://evil.example"}, {"origin": "null"}, {"Host": "evil.example"}, {"Host": "localhost.evil.example"}):
        assert visit(f"{readme.url}/api/tunnels", headers=foreign)[0] in (401, 403), foreign


@pytest.mark.parametrize("framework", ["fastapi", "starlette"])
def test_the_routes_may_be_below_a_prefix(tmp_path, origin, framework):
    server = TunnelServer(TunnelServerConfig(database_url="sqlite+aiosqlite:///:memory:"))

    @contextlib.asynccontextmanager
    async def lifespan(app):
        await server.initialize()
        yield
        await server.close()

    if framework == "fastapi":
        app = fastapi.FastAPI(lifespan=lifespan)
        app.include_router(server.router, prefix="/below/t")
    else:
        from starlette.applications import Starlette
        from starlette.routing import Mount

        app = Starlette(lifespan=lifespan, routes=[Mount("/below/t", server.router)])
    with Served(app) as served:
        token = served.api("POST", "/below/t/api/tunnels", {"domain": "app"})[1]["token"]
        with Background(TunnelClient(f"ws://127.0.0.1:{served.port}/below/t/ws/tunnel", token, f"http://127.0.0.1:{origin}")):
            status, _, body = visit(f"{served.url}/below/t/t/app/a%2Fb%20c?d=%2F")
            assert (status, json.loads(body)["path"]) == (200, "/a%2Fb%20c?d=%2F")
            assert served.api("GET", "/below/t/api/tunnels/app")[1]["connected"] is True
        assert served.api("GET", "/below/t/api/info")[0] == 200


def test_a_database_in_memory_is_gone_at_the_end():
    async def run():
        server = TunnelServer(database_url="sqlite+aiosqlite:///:memory:")
        for _ in range(2):
            await asyncio.gather(server.initialize(), server.initialize())
            assert (await server.create_tunnel("one"))["domain"] == "one"
            folder = server._folder.name
            await server.close()
            assert not os.path.exists(folder)

    asyncio.run(run())


def test_a_server_that_cannot_open_its_database_says_why_and_may_be_started_again(tmp_path):
    old = sqlite3.connect(tmp_path / "old.db")
    old.execute("CREATE TABLE tunnels (id INTEGER PRIMARY KEY, domain TEXT, token TEXT)")
    old.close()

    async def run():
        server = TunnelServer(database_url=f"sqlite:///{tmp_path}/old.db")
        for _ in range(2):
            with pytest.raises(TunnelError, match="tables of tunely") as refused:
                await server.initialize()
            assert refused.value.code == "database"
        with pytest.raises(TunnelError):
            await server.forward("app")

    asyncio.run(run())


def test_what_no_url_may_have_as_it_is_arrives_as_octets(readme, origin):
    token = readme.api("POST", "/api/tunnels", {"domain": "my-agent"})[1]["token"]
    with Background(TunnelClient(readme.agents, token, f"http://127.0.0.1:{origin}")):
        told = readme.api("POST", "/forward-by-code?path=/%C3%BC%20%2520%3Fa%3D%22")[1]
        assert told["body"]["path"] == "/%C3%BC%20%20?a=%22"
        refused = readme.api("POST", "/forward-by-code?path=//elsewhere")[1]
        assert (refused["status"], "Invalid path" in refused["error"]) == (400, True)


def test_an_agent_that_is_away_is_told_from_a_service_that_is(readme, origin):
    unknown = readme.api("POST", "/forward-by-code")[1]
    assert (unknown["status"], unknown["error"]) == (503, "Tunnel not connected: my-agent")
    token = readme.api("POST", "/api/tunnels", {"domain": "my-agent"})[1]["token"]
    away = readme.api("POST", "/forward-by-code")[1]
    assert (away["status"], away["error"]) == (503, "Tunnel not connected: my-agent")
    assert readme.api("POST", "/stream-by-code")[1] == [["end", 0, "Tunnel not connected: my-agent"]]
    with Background(TunnelClient(readme.agents, token, "http://127.0.0.1:1")):
        assert readme.api("POST", "/forward-by-code")[1]["status"] == 502


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
