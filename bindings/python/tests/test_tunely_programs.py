"""Tunely's own programs on the other side, and the examples of its README, taken from its package, with the import changed."""

import ast
import asyncio
import inspect
import json
import re
import shlex
import subprocess
import threading

import pytest

from support import DEADLINE, visit
from tunely_support import (
    AGENTS, COMMAND, PYTHON, Background, Program, Served, ServerProgram, ask, of_tunely, wait_connected,
)
from hvym_tunnel.tunely import TunnelClient, TunnelServerConfig, create_full_app

pytest.importorskip("uvicorn")
pytest.importorskip("fastapi")


@pytest.fixture
def served(tmp_path):
    """Our server, as ``tunely serve`` has it."""
    with Served(create_full_app(TunnelServerConfig(database_url=f"sqlite:///{tmp_path}/t.db"))) as served:
        yield served


def examples(version, language):
    """The examples of the README of this version."""
    text = of_tunely(version, "lib/python*/site-packages/tunely-*.dist-info/METADATA").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def example(version, word):
    """The one with this word in it, with the import changed. The README uses the classes of messages without importing them."""
    (found,) = (text for text in examples(version, "python") if word in text)
    messages = "StreamStartMessage, StreamChunkMessage, StreamEndMessage"
    return found.replace("from tunely import ", f"from hvym_tunnel.tunely import {messages}, ")


def compiled(nodes):
    module = ast.Module(nodes, type_ignores=[])
    return compile(module, "README", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


async def run_example(code, names):
    """Runs code that awaits outside of a function, as the README does."""
    running = eval(code, names)
    if inspect.isawaitable(running):
        await running


@pytest.mark.parametrize("version", PYTHON)
@pytest.mark.parametrize("agent", AGENTS)
def test_the_example_of_the_server_runs_with_agents_of_tunely(tmp_path, monkeypatch, origin, version, agent):
    # Its database is a file below the working folder.
    monkeypatch.chdir(tmp_path)
    nodes = ast.parse(example(version, "TunnelServer()")).body
    begins = next(index for index, node in enumerate(nodes) if "await" in ast.unparse(node) and not hasattr(node, "decorator_list"))
    printed, names = [], {}
    names["print"] = printed.append
    exec(compiled(nodes[:begins]), names)

    @names["app"].post("/the-rest")
    async def the_rest():
        await run_example(compiled(nodes[begins:]), names)

    with Served(names["app"]) as served:
        token = served.api("POST", "/api/tunnels", {"domain": "my-agent"})[1]["token"]
        program = of_tunely(agent, AGENTS[agent])
        server = "--server" if agent in PYTHON else "-s"
        arguments = [program, "connect", server, served.agents, "--token", token, "--target", f"http://127.0.0.1:{origin}"]
        with Program(arguments):
            wait_connected(served, "my-agent")
            assert served.api("POST", "/the-rest")[0] == 200
            events = visit(f"{served.url}/t/my-agent/api/stream")
            assert (events[0], events[2]) == (200, b"data: 0\n\ndata: 1\n\ndata: 2\n\n")
    # The example leaves it running.
    asyncio.run(names["tunnel_server"].close())
    response = names["response"]
    assert (response.status, response.body["path"], response.body["method"]) == (200, "/api/chat", "POST")
    assert json.loads(response.body["body"]) == {"message": "hello"}
    assert printed[0] == "Stream started: status=200"
    chunks = [text.partition("Chunk: ")[2] for text in printed[1:-1]]
    assert "".join(chunks) == "data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert printed[-1] == f"Stream ended: {len(chunks)} chunks"


@pytest.mark.parametrize("version", PYTHON)
def test_the_example_of_the_client_runs_at_a_server_of_tunely(tmp_path, origin, version):
    with ServerProgram(of_tunely(version, "bin/tunely"), tmp_path) as server:
        token = server.api("POST", "/api/tunnels", {"domain": "app"})[1]["token"]
        text = filled(example(version, "TunnelClient("), server, token, origin)
        names, failures = {}, []

        def run():
            try:
                asyncio.run(run_example(compiled(ast.parse(text).body), names))
            except Exception as error:
                failures.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        wait_connected(server, "app")
        assert (names["client"].domain, names["client"].is_connected) == ("app", True)
        assert ask(server, "app", "/z") == 200
        asyncio.run(names["client"].stop())
        thread.join(DEADLINE)
        assert not thread.is_alive() and not failures


def filled(text, server, token, origin):
    """An example with its placeholders filled in."""
    places = {"ws://server/ws/tunnel": server.agents, "tun_xxx": token, "http://localhost:8080": f"http://127.0.0.1:{origin}"}
    for placeholder, place in places.items():
        assert placeholder in text
        text = text.replace(placeholder, place)
    return text


@pytest.mark.parametrize("ours", [False, True])
def test_the_command_lines_connect(tmp_path, origin, ours):
    # With --force, the newer version waits for itself in SQLite.
    program = COMMAND if ours else of_tunely("python-0.2.1", "bin/tunely")
    lines = [line for text in examples("python-0.2.1", "bash") for line in text.splitlines() if line.startswith("tunely connect")]
    assert len(lines) == 2
    with ServerProgram(program, tmp_path) as server:
        for number, line in enumerate(lines):
            token = server.api("POST", "/api/tunnels", {"domain": f"app{number}"})[1]["token"]
            name, *arguments = shlex.split(filled(line, server, token, origin))
            with Program([COMMAND.with_name(name), *arguments]) as agent:
                agent.wait_for(f"connected as app{number}")
                assert ask(server, f"app{number}", "/z") == 200
                if ours:
                    agent.wait_for("200 GET /z")


@pytest.mark.parametrize("version", AGENTS)
def test_agents_of_tunely_connect_to_the_server(served, origin, version):
    token = served.api("POST", "/api/tunnels", {"domain": "real"})[1]["token"]
    server = "--server" if version in PYTHON else "-s"
    program = of_tunely(version, AGENTS[version])
    with Program([program, "connect", server, served.agents, "--token", token, "--target", f"http://127.0.0.1:{origin}"]):
        wait_connected(served, "real")
        body = served.api("POST", "/api/tunnels/real/forward", {"method": "POST", "path": "/x", "body": {"a": 1}})[1]["body"]
        assert (body["path"], json.loads(body["body"])) == ("/x", {"a": 1})


@pytest.mark.parametrize("version", PYTHON)
def test_the_client_connects_again_when_a_server_of_tunely_was_restarted(tmp_path, origin, version):
    program = of_tunely(version, "bin/tunely")
    with ServerProgram(program, tmp_path) as server:
        token = server.api("POST", "/api/tunnels", {"domain": "app"})[1]["token"]
        client = TunnelClient(server.agents, token, f"http://127.0.0.1:{origin}")
        client.config.reconnect_interval = 0.05
        lost = threading.Event()
        client.on_disconnect(lost.set)
        with Background(client) as background:
            server.__exit__()
            assert lost.wait(DEADLINE)
            background.connected.clear()
            server.arguments[server.arguments.index("--port") + 1] = str(server.port)
            with server:
                assert background.connected.wait(DEADLINE)
                wait_connected(server, "app")
                assert ask(server, "app", "/again") == 200


def run(program, *arguments, expected=0):
    ended = subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=DEADLINE, stdin=subprocess.DEVNULL
    )
    assert ended.returncode == expected, ended
    return ended.stdout + ended.stderr


@pytest.mark.parametrize("side", [*PYTHON, "ours"])
def test_tunnels_are_looked_after_by_the_commands_of_either_side(served, side):
    program = COMMAND if side == "ours" else of_tunely(side, "bin/tunely")
    at = ["--server", served.url]
    assert "tun_" in run(program, "tunnel", "create", "app", "--name", "n", "-d", "d", *at)
    run(program, "tunnel", "create", "app", *at, expected=1)
    told = served.api("GET", "/api/tunnels/app")[1]
    assert (told["name"], told["description"], told["enabled"]) == ("n", "d", True)
    assert "app" in run(program, "tunnel", "list", *at)
    run(program, "tunnel", "delete", "app", "--yes", *at)
    assert served.api("GET", "/api/tunnels/app")[0] == 404


def test_our_commands_look_after_tunnels_of_a_server_of_tunely(tmp_path):
    with ServerProgram(of_tunely("python-0.12.0", "bin/tunely"), tmp_path) as server:
        at = ["-s", server.url]
        assert "tun_" in run(COMMAND, "tunnel", "create", "app", *at)
        assert "409: Domain already exists" in run(COMMAND, "tunnel", "create", "app", *at, expected=1)
        assert '"app"' in run(COMMAND, "tunnel", "list", *at)
        # Nobody is there to say yes.
        run(COMMAND, "tunnel", "delete", "app", *at, expected=1)
        assert '"success": true' in run(COMMAND, "tunnel", "delete", "app", "-y", *at)


def test_the_commands_say_what_they_take():
    told = run(COMMAND, "--help")
    assert all(name in told for name in ("serve", "connect", "tunnel", "import"))
    assert "hvym-tunnel" in run(COMMAND, "--version")
    assert "--database" in run(COMMAND, "serve", "--help")
