"""The commands ``tunely serve``, ``connect`` and ``tunnel``, with the options that Tunely's users know, and ``import``."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from .._native import import_tunnels
from ..errors import TunnelError
from .client import TunnelClient
from .config import TunnelClientConfig, TunnelServerConfig
from .server import run_app

# How long an answer of the management API may take, seconds.
_API_TIMEOUT = 30.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command. Returns the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.DEBUG if options.verbose else logging.INFO, format="%(message)s")
    try:
        code: int = options.run(options)
    except KeyboardInterrupt:
        return 130
    except (TunnelError, urllib.error.URLError, ImportError) as error:
        print(f"tunely: {error}", file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("tunely", description="Tunnels by token, as Tunely has them")
    parser.set_defaults(verbose=False)
    commands = parser.add_subparsers(required=True)
    serve = commands.add_parser("serve", help="run a server (needs uvicorn)")
    serve.add_argument("--host", default="0.0.0.0")
    serve.add_argument("--port", type=int, default=8000)
    for name in ("domain", "database", "api-key", "ws-path"):
        serve.add_argument(f"--{name}")
    serve.set_defaults(run=_serve)
    connect = commands.add_parser("connect", help="offer a local service")
    for name in ("server", "token", "target"):
        connect.add_argument(f"--{name}", f"-{name[0]}" if name != "target" else "-T")
    connect.add_argument("--reconnect", "-r", type=float)
    connect.add_argument("--force", "-f", action="store_true", default=None)
    connect.set_defaults(run=_connect)
    tunnel = commands.add_parser("tunnel", help="create, list and delete tunnels").add_subparsers(required=True)
    for action in ("create", "list", "delete"):
        command = tunnel.add_parser(action)
        if action != "list":
            command.add_argument("name")
        command.add_argument("--server", default="http://localhost:8000")
        command.add_argument("--api-key")
        command.set_defaults(run=_tunnel, action=action)
    adopt = commands.add_parser("import", help="take over the tunnels of a database of tunely's own server")
    adopt.add_argument("source", help="its URL, as sqlite:///tunnels.db")
    adopt.add_argument("--database", default=TunnelServerConfig.database_url)
    adopt.set_defaults(run=_import)
    for command in (serve, connect):
        command.add_argument("--verbose", "-v", action="store_true")
    return parser


def _serve(options: argparse.Namespace) -> int:
    given = {
        "domain": options.domain,
        "database_url": options.database,
        "admin_api_key": options.api_key,
        "ws_path": options.ws_path,
    }
    run_app(options.host, options.port, TunnelServerConfig(**{key: value for key, value in given.items() if value}))
    return 0


def _connect(options: argparse.Namespace) -> int:
    given = {
        "server_url": options.server,
        "token": options.token,
        "target_url": options.target,
        "reconnect_interval": options.reconnect,
        "force": options.force,
    }
    client = TunnelClient(config=TunnelClientConfig(**{key: value for key, value in given.items() if value is not None}))
    client.on_connect(lambda: print(f"connected as {client.domain}", flush=True))
    client.on_request(lambda request: print(f"{request.status} {request.method} {request.path}", flush=True))
    asyncio.run(client.run())
    return 0


def _tunnel(options: argparse.Namespace) -> int:
    if options.action == "create":
        answer = _ask(options, "POST", "", {"domain": options.name})
    elif options.action == "delete":
        answer = _ask(options, "DELETE", f"/{quote(options.name, safe='')}", None)
    else:
        answer = _ask(options, "GET", "", None)
    print(json.dumps(answer, indent=2))
    return 0


def _import(options: argparse.Namespace) -> int:
    count, unusable, taken = import_tunnels(options.source, options.database)
    print(f"{count} tunnel(s) added")
    for name in unusable:
        print(f"left out: {name!r} is no host name in lower case")
    for name in taken:
        print(f"left out: {name!r} is there already")
    return 0


def _ask(options: argparse.Namespace, method: str, path: str, body: Any) -> Any:
    headers = {"Content-Type": "application/json"}
    if options.api_key:
        headers["X-Api-Key"] = options.api_key
    data = None if body is None else json.dumps(body).encode()
    url = options.server.rstrip("/") + "/api/tunnels" + path
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=_API_TIMEOUT) as response:
        return json.load(response)
