"""Servers of tunely for tests: ours behind uvicorn, and tunely's own; and clients on loops of their own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import uvicorn

from support import DEADLINE, visit

# The folder with the programs of tunely.
TUNELY = Path(os.environ.get("HVYM_TUNNEL_TUNELY", "/nowhere"))
AGENTS = {
    "python-0.12.0": "bin/tunely",
    "python-0.2.1": "bin/tunely",
    "node-0.2.1": "node_modules/.bin/tunely",
}
PYTHON = [version for version in AGENTS if version.startswith("python")]
# The command that the wheel brings.
COMMAND = Path(sys.executable).parent / "tunely"


def of_tunely(version, path):
    """A file of a version of tunely. Without it the test is skipped, and fails in CI."""
    found = next((TUNELY / version).glob(path), None)
    if found is None:
        missing = "HVYM_TUNNEL_TUNELY does not name the folder of its programs"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    return found


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


class Program:
    """A command that runs until it is killed. What it prints is in :attr:`output`."""

    def __init__(self, arguments, **options):
        self.arguments, self.options = [str(argument) for argument in arguments], options

    def __enter__(self):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.output = ""
        self.process = subprocess.Popen(self.arguments, env=environment, **pipes, **self.options)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        return self

    def _read(self):
        for line in self.process.stdout:
            self.output += line

    def wait_for(self, pattern):
        """The match of a pattern in what it prints."""
        deadline = time.monotonic() + DEADLINE
        while (found := re.search(pattern, self.output)) is None:
            assert time.monotonic() < deadline and self.process.poll() is None, self.output
            time.sleep(0.01)
        return found

    def __exit__(self, *arguments):
        self.process.kill()
        self.process.wait()
        self.thread.join(DEADLINE)
        self.process.stdout.close()


class ServerProgram(Program):
    """``tunely serve`` of a program, with its database in a folder, at a port that it takes itself."""

    def __init__(self, program, folder):
        database = f"sqlite+aiosqlite:///{folder}/served.db"
        super().__init__([program, "serve", "--host", "127.0.0.1", "--port", "0", "--database", database], cwd=folder)
        #: The newest of tunely's servers sends a body as it is, and waits for the end of the connection.
        self.forwards_raw = "python-0.12.0" in str(program)

    def __enter__(self):
        super().__enter__()
        self.port = int(self.wait_for(r"Uvicorn running on http://127\.0\.0\.1:(\d+)").group(1))
        self.url, self.agents = f"http://127.0.0.1:{self.port}", f"ws://127.0.0.1:{self.port}/ws/tunnel"
        return self

    api = Served.api


def ask(served, name, path):
    """A request through a tunnel of a server that is a program: the status that the service gave."""
    raw = f"GET {path} HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n"
    asked = {"body": raw} if served.forwards_raw else {"method": "GET", "path": path}
    return served.api("POST", f"/api/tunnels/{name}/forward", asked)[1]["status"]


def wait_connected(served, name):
    """Waits until the agent of a tunnel is connected."""
    deadline = time.monotonic() + DEADLINE
    while not served.api("GET", f"/api/tunnels/{name}")[1].get("connected"):
        assert time.monotonic() < deadline, "no agent has connected"
        time.sleep(0.02)
