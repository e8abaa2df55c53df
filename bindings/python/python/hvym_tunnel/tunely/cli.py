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

from .._native import __version__, import_tunnels
from ..errors import TunnelError
from .client import TunnelClient
from .config import TunnelClientConfig, TunnelServerConfig
from .server import run_app

# How long an answer of the management API may take, seconds.
_API_TIMEOUT = 30.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command. Returns the exit code."""
    try:
        options = _parser().parse_args(arguments)
        logging.basicConfig(level=logging.DEBUG if options.verbose else logging.INFO, format="%(message)s")
        code: int = options.run(options)
    except KeyboardInterrupt:
        return 130
    except (TunnelError, urllib.error.URLError, ImportError) as error:
        print(f"tunely: {error}", file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("tunely", description="Tunnels by token, as Tunely has them")
    parser.add_argument("--version", action="version", version=f"tunely, of hvym-tunnel {__version__}")
    parser.set_defaults(verbose=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    # In Tunely's command, -h is the host.
    serve = commands.add_parser("serve", help="run a server (needs uvicorn)", add_help=False)
    serve.add_argument("--help", action="help", help="show this help message and exit")
    serve.add_argument("--host", "-h", default="0.0.0.0")
    serve.add_argument("--port", "-p", type=int, default=8000, help="0 takes a free one")
    serve.add_argument("--domain", "-d", help="below which the tunnels have their host names")
    serve.add_argument("--database", "-D", help="its URL, as sqlite:///tunnels.db")
    serve.add_argument("--api-key", "-k", help="the operator's key; better in WS_TUNNEL_ADMIN_API_KEY, which no list of processes shows")
    serve.add_argument("--ws-path", help="where agents connect")
    serve.set_defaults(run=_serve)
    connect = commands.add_parser("connect", help="offer a local service")
    connect.add_argument("--server", "-s", help="as ws://localhost:8000/ws/tunnel")
    connect.add_argument("--token", "-t", help="better in WS_TUNNEL_CLIENT_TOKEN, which no list of processes shows")
    connect.add_argument("--target", "-T", help="as http://localhost:8080")
    connect.add_argument("--reconnect", "-r", type=float, metavar="SECONDS")
    connect.add_argument("--force", "-f", action="store_true", default=None, help="take the place of another agent")
    connect.set_defaults(run=_connect)
    tunnel = commands.add_parser("tunnel", help="create, list and delete tunnels")
    _add_tunnel_commands(tunnel.add_subparsers(required=True, metavar="COMMAND"))
    adopt = commands.add_parser("import", help="take over the tunnels of a database of tunely's own server")
    adopt.add_argument("source", help="its URL, as sqlite:///tunnels.db")
    adopt.add_argument("--database", "-D", default=TunnelServerConfig().database_url)
    adopt.set_defaults(run=_import)
    for command in (serve, connect):
        command.add_argument("--verbose", "-v", action="store_true")
    return parser


def _add_tunnel_commands(commands: Any) -> None:
    for action in ("create", "list", "delete"):
        command = commands.add_parser(action)
        if action != "list":
            command.add_argument("domain")
        if action == "create":
            command.add_argument("--name", "-n")
            command.add_argument("--description", "-d")
            command.add_argument("--mode", "-m", choices=["http", "tcp"])
        if action == "delete":
            command.add_argument("--yes", "-y", action="store_true", help="do not ask")
        command.add_argument("--server", "-s", default="http://localhost:8000")
        command.add_argument("--api-key", "-k", default=TunnelServerConfig().admin_api_key)
        command.set_defaults(run=_tunnel, action=action)


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
        fields = ("domain", "name", "description", "mode")
        asked = {field: getattr(options, field) for field in fields if getattr(options, field) is not None}
        answer = _ask(options, "POST", "", asked)
    elif options.action == "delete":
        if not options.yes and not _agrees(f"Delete the tunnel {options.domain}?"):
            return 1
        answer = _ask(options, "DELETE", f"/{quote(options.domain, safe='')}", None)
    else:
        answer = _ask(options, "GET", "", None)
    print(json.dumps(answer, indent=2))
    return 0


def _agrees(question: str) -> bool:
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        # Nobody is there.
        return False


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
    try:
        with urllib.request.urlopen(request, timeout=_API_TIMEOUT) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise TunnelError(f"the server answered {error.code}: {_detail(error)}", "refused") from None


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["detail"])
    except (ValueError, LookupError, TypeError):
        return error.reason
