"""What tests call: visitors, and waiting."""

from __future__ import annotations

import http.client
import time
from urllib.parse import urlsplit

# By when whatever is waited for must have happened, seconds.
DEADLINE = 60.0


def visit(url, method="GET", body=None, headers=None):
    """A visitor's request: the status, the header fields and the body."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=DEADLINE)
    try:
        path = "/" + parts.path.lstrip("/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, body, {"Host": parts.netloc, **(headers or {})})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def wait_until(is_true, what="it"):
    """Waits for something that has no event."""
    deadline = time.monotonic() + DEADLINE
    while not is_true():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.01)
