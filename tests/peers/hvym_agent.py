#!/usr/bin/env python3
"""An agent as existing services of HVYM run it: a challenge, then one JSON message for each request and each answer.

  hvym_agent.py URL RELAY SEED PORT    the relay's WebSocket and its address, the agent's seed in hexadecimal, and where
                                       its service listens on this machine

It says "joined ENDPOINT" when it was let in, "refused: REASON" when it was not, and "left: REASON" when its link ended.
Like the program whose part it takes, it tries for ever, answers one message before it reads the next, takes messages
of at most 1 MiB, and carries every body as text.
"""

import asyncio
import json
import os
import sys

# A file here is named like the package, and python looks beside the script first.
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path = [path for path in sys.path if os.path.realpath(path) != HERE]

import httpx
import websockets
from hvym_stellar import Stellar25519KeyPair, StellarJWTToken
from stellar_sdk import Keypair

HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailers", "transfer-encoding", "upgrade",
}  # fmt: skip
FIRST_DELAY, LAST_DELAY = 0.2, 60


class Refused(Exception):
    pass


async def receive(socket):
    return json.loads(await asyncio.wait_for(socket.recv(), 30))


async def log_in(socket, relay, keypair):
    challenge = await receive(socket)
    if challenge["type"] != "auth_challenge":
        raise Refused(f"no challenge: {challenge}")
    token = StellarJWTToken(
        keypair, relay, services=["pintheon"], expires_in=3600, claims={"challenge": challenge["challenge"]}
    )
    answer = {"type": "auth_response", "challenge_id": challenge["challenge_id"], "jwt": token.to_jwt()}
    await socket.send(json.dumps(answer))
    verdict = await receive(socket)
    if verdict["type"] != "auth_ok":
        raise Refused(verdict.get("error", "Unknown"))
    return verdict


async def ask(service, request):
    url = request["path"] + ("?" + request["query_string"] if request.get("query_string") else "")
    fields = {name: value for name, value in request["headers"].items() if name.lower() not in HOP | {"host"}}
    body = request["body"].encode() or None
    try:
        answer = await service.request(request["method"], url, headers=fields, content=body)
    except Exception as error:
        return {
            "status_code": 502,
            "headers": {"Content-Type": "text/plain"},
            "body": f"Local service error: {error}",
        }
    return {"status_code": answer.status_code, "headers": dict(answer.headers), "body": answer.text}


async def serve(socket, service):
    async for text in socket:
        message = json.loads(text)
        if message["type"] == "ping":
            await socket.send(json.dumps({"type": "pong"}))
        elif message["type"] == "tunnel_request":
            answer = await ask(service, message["request"])
            answer = {"type": "tunnel_response", "stream_id": message["stream_id"], "response": answer}
            await socket.send(json.dumps(answer))


async def main(url, relay, seed, port):
    keypair = Stellar25519KeyPair(Keypair.from_raw_ed25519_seed(bytes.fromhex(seed)))
    delay = FIRST_DELAY
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", follow_redirects=False, timeout=30, trust_env=False
    ) as service:
        while True:
            try:
                async with websockets.connect(url, ping_interval=30, ping_timeout=10, proxy=None) as socket:
                    verdict = await log_in(socket, relay, keypair)
                    delay = FIRST_DELAY
                    print("joined", verdict["endpoint"], flush=True)
                    await socket.send(json.dumps({"type": "bind", "service": "pintheon", "local_port": int(port)}))
                    await serve(socket, service)
                print("left: the relay said good-bye", flush=True)
            except Refused as error:
                print(f"refused: {error}", flush=True)
            except Exception as error:
                print(f"left: {error}", flush=True)
            await asyncio.sleep(delay)
            delay = min(delay * 2, LAST_DELAY)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
