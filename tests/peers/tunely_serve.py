#!/usr/bin/env python3
"""A tunely server as `tunely` starts it, but for how soon it misses a link: its own program pings every 30 s, and waits 10 s."""

import sys

import uvicorn
from tunely.cli import main

run = uvicorn.run


def run_impatiently(app, **settings):
    run(app, **{**settings, "ws_ping_interval": 2, "ws_ping_timeout": 2})


uvicorn.run = run_impatiently

if __name__ == "__main__":
    sys.exit(main())
