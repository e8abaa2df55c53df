"""An application that is public without listening anywhere: ``python asgi_handler.py [RELAY]``."""

import asyncio
import sys

import hvym_tunnel


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": f"you asked for {scope['path']}\n".encode()})


async def main(relay=None):
    async with hvym_tunnel.expose(app, relay=relay) as tunnel:
        print(tunnel.url, flush=True)
        tunnel.on("request", lambda event: print(event.method, event.path, event.status, flush=True))
        await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:2]))
    except KeyboardInterrupt:
        pass
