"""A FastAPI application with a tunnel server in it: agents of tunely connect to it, and its routes ask their services.

    uvicorn fastapi_relay:app --port 8000
    curl -X POST http://localhost:8000/api/tunnels -H "Content-Type: application/json" -d '{"domain": "my-agent"}'
    tunely connect --token tun_... --target http://localhost:3000
    curl http://localhost:8000/ask/my-agent
"""

import contextlib
import os

from fastapi import FastAPI, HTTPException

from hvym_tunnel.tunely import TunnelServer, TunnelServerConfig

database = os.environ.get("TUNNELS", "sqlite:///./data/tunnels.db")
tunnels = TunnelServer(TunnelServerConfig(database_url=database))


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI):
    await tunnels.initialize()
    yield
    await tunnels.close()


app = FastAPI(lifespan=lifespan)
app.include_router(tunnels.router)


@app.get("/ask/{name}")
async def ask(name: str):
    """What the service of this tunnel answers at its front page."""
    response = await tunnels.forward(domain=name, method="GET", path="/")
    if response.error:
        raise HTTPException(response.status, response.error)
    return {"status": response.status, "body": response.body}
