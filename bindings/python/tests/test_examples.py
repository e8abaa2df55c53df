"""Every example runs, as its users would run it."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support import DEADLINE, visit

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_every_example_has_a_test():
    text = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{path.name}"' in text for path in EXAMPLES.glob("*.py"))


def test_the_handler_is_public_and_ends_when_interrupted(relay):
    program = [sys.executable, EXAMPLES / "asgi_handler.py", relay.url]
    # What starts tests in the background may ignore interrupts, and children inherit that.
    heed = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, preexec_fn=heed) as example:
        try:
            url = example.stdout.readline().strip()
            assert visit(f"{url}a/path")[2] == b"you asked for /a/path\n"
            assert example.stdout.readline() == "GET /a/path 200\n"
            example.send_signal(signal.SIGINT)
            assert example.wait(DEADLINE) == 0
        finally:
            example.kill()


def test_the_tunnel_server_in_fastapi_asks_an_agent(tmp_path, origin, monkeypatch):
    pytest.importorskip("fastapi")
    from tunely_support import Background, Served

    from hvym_tunnel.tunely import TunnelClient

    monkeypatch.setenv("TUNNELS", f"sqlite:///{tmp_path}/tunnels.db")
    spec = importlib.util.spec_from_file_location("example", EXAMPLES / "fastapi_relay.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    with Served(example.app) as served:
        token = served.api("POST", "/api/tunnels", {"domain": "my-agent"})[1]["token"]
        assert served.api("GET", "/ask/my-agent")[0] == 503
        with Background(TunnelClient(served.agents, token, f"http://127.0.0.1:{origin}")):
            assert served.api("GET", "/ask/my-agent")[1]["body"]["path"] == "/"


WINDOW = """
import sys, time
sys.path.insert(0, sys.argv[1])
import qt_window
application = qt_window.widgets.QApplication([])
window = qt_window.Window(sys.argv[2], sys.argv[3], int(sys.argv[4]))
window.show()
deadline = time.monotonic() + 25
while window.state.text() != "connected" or "://" not in window.place.text():
    assert time.monotonic() < deadline, window.state.text()
    application.processEvents()
    time.sleep(0.005)
print(window.place.text(), flush=True)
sys.stdin.readline()
window.close()
"""


@pytest.mark.parametrize("binding", ["PyQt5", "PyQt6", "PySide6"])
def test_the_window_shows_where_the_service_is(binding, relay, origin):
    # "qt_window.py"
    if importlib.util.find_spec(binding) is None:
        pytest.skip(f"{binding} is not installed")
    environment = {**os.environ, "QT_API": binding.lower(), "QT_QPA_PLATFORM": "offscreen"}
    program = [sys.executable, "-c", WINDOW, EXAMPLES, f"{relay.url}/connect", relay.address, str(origin)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    with subprocess.Popen(program, **pipes) as example:
        try:
            url = example.stdout.readline().strip()
            assert json.loads(visit(f"{url}/x")[2])["path"] == "/x"
            example.communicate("\n", timeout=DEADLINE)
            assert example.returncode == 0
        finally:
            example.kill()


# "fastapi_relay.py" is loaded as a module above.
