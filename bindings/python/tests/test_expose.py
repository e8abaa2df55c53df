import asyncio
import base64
import os
import socket
import struct
import threading
from urllib.parse import urlsplit

import pytest

import hvym_tunnel
from support import DEADLINE, visit
from hvym_tunnel import expose


async def echo(scope, receive, send):
    """Says what it was asked, without a lifespan and without WebSockets."""
    assert scope["type"] == "http"
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            break
    said = f"{scope['method']} {scope['path']} {scope['query_string'].decode()} {len(body)}".encode()
    headers = [(b"content-type", b"text/plain"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": said})


def test_a_port_is_exposed_at_a_relay_of_its_own(origin):
    with expose(origin) as tunnel:
        assert visit(tunnel.url)[0] == 200
        assert tunnel.address.startswith("G")


def test_an_asgi_application_needs_no_port():
    with expose(echo) as tunnel:
        status, _, body = visit(f"{tunnel.url}/a%20b?c=d", "POST", b"x" * 300_000)
        assert (status, body) == (201, b"POST /a b c=d 300000")
        folder = tunnel._server._folder
        assert os.stat(folder).st_mode & 0o777 == 0o700
    assert not os.path.exists(folder)


def test_an_asgi_application_runs_on_the_loop_that_runs():
    async def run():
        loops = []

        async def app(scope, receive, send):
            if scope["type"] == "http":
                loops.append(asyncio.get_running_loop())
            await echo(scope, receive, send)

        async with expose(app) as tunnel:
            assert (await asyncio.to_thread(visit, tunnel.url))[0] == 201
        assert loops == [asyncio.get_running_loop()]

    asyncio.run(run())


def test_the_lifespan_is_told_and_its_state_is_shared():
    told = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                told.append(message["type"])
                scope["state"]["answer"] = b"42"
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["state"]["answer"]})

    with expose(app) as tunnel:
        assert visit(tunnel.url)[2] == b"42"
    assert told == ["lifespan.startup", "lifespan.shutdown"]


def test_an_application_that_does_not_start_is_an_error():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(RuntimeError, match="no database"), expose(app):
        pass


def test_an_application_that_fails_gives_500_and_serves_on():
    async def app(scope, receive, send):
        if scope["path"] == "/bad":
            raise ValueError("a bug")
        await echo(scope, receive, send)

    with expose(app) as tunnel:
        assert visit(f"{tunnel.url}/bad")[0] == 500
        assert visit(tunnel.url)[0] == 201


def test_a_response_that_breaks_off_is_not_taken_for_a_whole_one():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ValueError("a bug")

    with expose(app) as tunnel, pytest.raises(Exception) as broken:
        visit(tunnel.url)
    assert "IncompleteRead" in repr(broken.value) or isinstance(broken.value, OSError)


def test_a_response_streams_and_its_end_is_seen_when_the_visitor_leaves():
    gone = threading.Event()

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"
        gone.set()

    with expose(app) as tunnel:
        parts = urlsplit(tunnel.url)
        with socket.create_connection(("127.0.0.1", parts.port), DEADLINE) as visitor:
            visitor.sendall(f"GET / HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
            received = b""
            while b"data: 1" not in received:
                received += visitor.recv(4096)
        assert gone.wait(DEADLINE)


def test_a_wsgi_application_needs_no_port_either():
    def app(environ, start_response):
        body = environ["wsgi.input"].read()
        said = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {environ['QUERY_STRING']} {len(body)}"
        write = start_response("201 Made", [("Content-Type", "text/plain"), ("X-Two", "a")])
        write(said.encode())
        yield b"!"

    with expose(app) as tunnel:
        status, headers, body = visit(f"{tunnel.url}/p?q=r", "PUT", b"y" * 200_000)
        assert (status, body) == (201, b"PUT /p q=r 200000!")
        assert headers["X-Two"] == "a"


def test_an_application_of_flask_is_served():
    flask = pytest.importorskip("flask")
    app = flask.Flask(__name__)

    @app.get("/hello/<name>")
    def hello(name):
        return f"hello {name} from {flask.request.host}"

    with expose(app) as tunnel:
        host = urlsplit(tunnel.url).netloc
        assert visit(f"{tunnel.url}/hello/ann")[2].decode() == f"hello ann from {host}"
        assert visit(f"{tunnel.url}/none")[0] == 404


def test_an_application_of_fastapi_is_served():
    fastapi = pytest.importorskip("fastapi")
    app = fastapi.FastAPI()

    @app.post("/sum")
    async def add(numbers: list = fastapi.Body()):
        return {"sum": sum(numbers)}

    with expose(app) as tunnel:
        status, _, body = visit(f"{tunnel.url}/sum", "POST", b"[1, 2, 3]", {"content-type": "application/json"})
        assert (status, body) == (200, b'{"sum":6}')


def frame(opcode, payload):
    mask = b"abcd"
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    head = struct.pack("!BB", 0x80 | opcode, 0x80 | len(payload)) if len(payload) < 126 else struct.pack(
        "!BBH", 0x80 | opcode, 0x80 | 126, len(payload)
    )
    return head + mask + masked


def test_websockets_pass_both_ways():
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            raise NotImplementedError
        assert scope["type"] == "websocket" and scope["subprotocols"] == ["chat"]
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept", "subprotocol": "chat"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"][::-1]})
        assert message == {"type": "websocket.disconnect", "code": 1000, "reason": ""}

    with expose(app) as tunnel:
        parts = urlsplit(tunnel.url)
        with socket.create_connection(("127.0.0.1", parts.port), DEADLINE) as visitor:
            key = base64.b64encode(os.urandom(16)).decode()
            visitor.sendall(
                f"GET /chat HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: chat\r\n\r\n".encode()
            )
            stream = visitor.makefile("rb")
            assert b" 101 " in stream.readline()
            while stream.readline() != b"\r\n":
                pass
            visitor.sendall(frame(1, b"hello") + frame(1, b"x" * 500))
            assert stream.read(7) == b"\x81\x05olleh"
            assert stream.read(504) == b"\x81\x7e\x01\xf4" + b"x" * 500
            visitor.sendall(frame(8, struct.pack("!H", 1000)))
            assert stream.read(4) == b"\x88\x02\x03\xe8"


def test_visitors_are_asked_for_credentials():
    with expose(echo, credentials=["ann:secret"]) as tunnel:
        assert visit(tunnel.url)[0] == 401
        header = "Basic " + base64.b64encode(b"ann:secret").decode()
        assert visit(tunnel.url, headers={"Authorization": header})[0] == 201
        assert "secret" not in repr(tunnel)


def test_what_is_no_place_and_no_application_is_refused():
    with pytest.raises(TypeError):
        expose(object())


def test_a_named_relay_is_used(relay, origin):
    with expose(f"http://127.0.0.1:{origin}", relay=relay.url, identity=hvym_tunnel.Identity.from_seed(bytes(32))) as tunnel:
        assert tunnel.relay is None
        assert tunnel.address == hvym_tunnel.Identity.from_seed(bytes(32)).address
        assert visit(tunnel.url)[0] == 200
