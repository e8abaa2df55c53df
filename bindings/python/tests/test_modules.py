"""The modules tunnel_client, tunnel_worker and tunnel_config, as a desktop program uses them."""

import asyncio
import importlib
import json
import os
import subprocess
import sys
import threading
import time

import pytest

import hvym_tunnel
from support import DEADLINE, visit
from tunnel_client import HVYMTunnelClient, TunnelConfig, TunnelState
from tunnel_config import TunnelConfigStore, fetch_server_address

stellar_sdk = pytest.importorskip("stellar_sdk")

QT = [name for name in ("PyQt5", "PyQt6", "PySide6") if importlib.util.find_spec(name)]


@pytest.fixture
def wallet():
    return stellar_sdk.Keypair.random()


def config_for(relay, origin):
    return TunnelConfig(
        server_url=relay.url + "/connect",
        server_address=relay.address,
        reconnect_delay=0.05,
        max_reconnect_delay=0.2,
        local_pintheon_port=origin,
    )


def test_a_client_serves_its_port_and_every_callback_comes_in_order(relay, origin, wallet):
    async def run():
        client = HVYMTunnelClient(wallet, config_for(relay, origin))
        seen, ready = [], asyncio.Event()
        client.on_state_changed = lambda state: seen.append(state.value)
        client.on_connected = lambda endpoint: seen.append(("connected", endpoint.url))
        client.on_endpoint_ready = lambda url: (seen.append(("ready", url)), ready.set())
        client.on_disconnected = lambda: seen.append("gone")
        task = asyncio.create_task(client.connect())
        await asyncio.wait_for(ready.wait(), DEADLINE)
        assert client.is_connected and client.endpoint.stellar_address == wallet.public_key
        url = client.endpoint.url
        assert (await asyncio.to_thread(visit, url))[0] == 200
        await client.disconnect()
        await asyncio.wait_for(task, DEADLINE)
        assert client.state is TunnelState.DISCONNECTED and client.endpoint is None
        assert seen == [
            "connecting", "authenticating", "connected", ("connected", url), ("ready", url), "disconnected", "gone",
        ]

    asyncio.run(run())


def test_ports_are_bound_and_unbound_while_it_runs(relay, origin, wallet):
    async def run():
        client = HVYMTunnelClient(wallet, config_for(relay, origin))
        ready = asyncio.Event()
        client.on_endpoint_ready = lambda url: ready.set()
        task = asyncio.create_task(client.connect())
        await asyncio.wait_for(ready.wait(), DEADLINE)
        client.bind_port("files", origin)
        deadline = time.monotonic() + DEADLINE
        while "files" not in client._agent.urls:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        assert (await asyncio.to_thread(visit, client._agent.urls["files"]))[0] == 200
        client.unbind_port("files")
        assert "files" not in client._agent.urls and "files" not in client._port_bindings
        await client.disconnect()
        await asyncio.wait_for(task, DEADLINE)

    asyncio.run(run())


def test_disconnect_from_another_thread_really_closes(relay, origin, wallet):
    client = HVYMTunnelClient(wallet, config_for(relay, origin))
    ready = threading.Event()
    client.on_endpoint_ready = lambda url: ready.set()
    thread = threading.Thread(target=lambda: asyncio.run(client.connect()))
    thread.start()
    assert ready.wait(DEADLINE)
    assert relay.status()["sessions"] == 1
    client.disconnect_sync()
    thread.join(DEADLINE)
    assert not thread.is_alive() and client.state is TunnelState.DISCONNECTED
    deadline = time.monotonic() + DEADLINE
    while relay.status()["sessions"]:
        assert time.monotonic() < deadline


def test_a_relay_that_is_away_is_an_error_and_tried_again(wallet):
    async def run():
        config = TunnelConfig(server_url="ws://127.0.0.1:1/connect", reconnect_delay=0.01, max_reconnect_delay=0.05)
        client = HVYMTunnelClient(wallet, config)
        seen, errors, enough = [], [], asyncio.Event()

        def remember(state):
            seen.append(state.value)
            if seen.count("reconnecting") == 3:
                enough.set()

        client.on_state_changed, client.on_error = remember, errors.append
        task = asyncio.create_task(client.connect())
        await asyncio.wait_for(enough.wait(), DEADLINE)
        await client.disconnect()
        await asyncio.wait_for(task, DEADLINE)
        assert seen[:3] == ["connecting", "error", "reconnecting"]
        assert "127.0.0.1:1" in errors[0] or errors[0]

    asyncio.run(run())


def test_a_relay_with_another_address_ends_it(relay, origin, wallet):
    async def run():
        config = config_for(relay, origin)
        config.server_address = stellar_sdk.Keypair.random().public_key
        client, errors = HVYMTunnelClient(wallet, config), []
        client.on_error = errors.append
        await asyncio.wait_for(client.connect(), DEADLINE)
        assert len(errors) == 1 and config.server_address in errors[0]

    asyncio.run(run())


def test_an_exception_in_a_callback_ends_nothing(relay, origin, wallet):
    async def run():
        client = HVYMTunnelClient(wallet, config_for(relay, origin))
        ready = asyncio.Event()
        client.on_state_changed = lambda state: 1 / 0
        client.on_connected = lambda endpoint: 1 / 0
        client.on_endpoint_ready = lambda url: ready.set()
        task = asyncio.create_task(client.connect())
        await asyncio.wait_for(ready.wait(), DEADLINE)
        await client.disconnect()
        await asyncio.wait_for(task, DEADLINE)

    asyncio.run(run())


def test_the_store_keeps_what_a_program_sets(tmp_path):
    tinydb = pytest.importorskip("tinydb")
    path = tmp_path / "db.json"
    store = TunnelConfigStore(tinydb.TinyDB(path))
    assert (store.server_url, store.services, store.port_bindings) == (
        "wss://tunnel.heavymeta.art/connect", ["pintheon"], {"pintheon": 9998},
    )
    assert not store.is_configured and store.enabled and not store.auto_connect
    store.server_address, store.auto_connect, store.enabled = "G" * 56, True, False
    store.set_port_binding("ipfs", 8082)
    store.remove_port_binding("pintheon")
    store.set_last_endpoint("https://x")
    again = TunnelConfigStore(tinydb.TinyDB(path))
    assert again.is_configured and again.auto_connect and not again.enabled
    assert again.port_bindings == {"ipfs": 8082} and again.get_last_endpoint() == "https://x"
    again.clear_last_endpoint()
    assert again.get_last_endpoint() is None
    config = again.to_tunnel_config()
    assert (config.server_address, config.local_pintheon_port) == ("G" * 56, 9998)


def test_the_address_of_a_relay_is_found(relay):
    assert fetch_server_address(relay.url + "/connect") == relay.address
    assert fetch_server_address("ws://127.0.0.1:1/connect", timeout=1) is None


# Runs in a process of its own: one process has one binding of Qt, and one application.
QT_PROGRAM = """
import gc, json, os, socket, sys, threading, time
binding = sys.argv[1]
os.environ["QT_API"] = binding.lower()
os.environ["QT_QPA_PLATFORM"] = "offscreen"
import importlib
core = importlib.import_module(binding + ".QtCore")
widgets = importlib.import_module(binding + ".QtWidgets")
application = widgets.QApplication([])
window = widgets.QLabel("a window")
window.show()
import hvym_tunnel, stellar_sdk, tunnel_worker
assert tunnel_worker.QThread is core.QThread, tunnel_worker.QThread
relay_identity = hvym_tunnel.Identity.from_seed(bytes(32))
relay = hvym_tunnel.Relay(identity=relay_identity)
relay.start()
port = relay.listen[1]
manager = tunnel_worker.TunnelManager()
seen, main = [], threading.get_ident()
def remember(kind):
    def slot(*arguments):
        assert threading.get_ident() == main, kind
        seen.append(kind if kind != "state" else arguments[0])
        if kind == "connected":
            window.setText(arguments[0])
            raise ValueError("of the program")
    return slot
raised = []
def remember_raised(kind, error, trace):
    raised.append(kind) if kind is ValueError else sys.__excepthook__(kind, error, trace)
sys.excepthook = remember_raised
for kind, signal in [("state", manager.state_changed), ("connected", manager.connected), ("gone", manager.disconnected),
                     ("failed", manager.error), ("ready", manager.endpoint_ready)]:
    signal.connect(remember(kind))
def until(is_true):
    deadline = time.monotonic() + 25
    while not is_true():
        assert time.monotonic() < deadline, seen
        application.processEvents()
        time.sleep(0.005)
assert manager.start_tunnel() is False
manager.set_wallet(stellar_sdk.Keypair.random())
assert manager.start_tunnel() is False
manager.set_server(f"ws://127.0.0.1:{port}/connect", relay_identity.address)
manager._config.reconnect_delay, manager._config.max_reconnect_delay = 0.05, 0.2
manager.add_port_binding("pintheon", 1)
assert seen == ["failed", "failed"], seen
seen.clear()
assert manager.start_tunnel() is True
assert manager.start_tunnel() is False
until(lambda: "ready" in seen)
assert manager.is_connected and manager.endpoint_url == window.text()
restarts = 3
for restart in range(restarts):
    relay.close(0)
    until(lambda: not manager.is_connected)
    relay = hvym_tunnel.Relay(identity=relay_identity, listen=f"127.0.0.1:{port}")
    relay.start()
    until(lambda: seen.count("ready") == restart + 2)
def stop():
    worker = manager._worker
    manager.stop_tunnel()
    # It waited, and not in vain.
    assert worker.isFinished()
stop()
until(lambda: "gone" in seen)
first = seen[:]
def used():
    with open("/proc/self/statm", encoding="ascii") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd")), resident
def cycle(number):
    gone = seen.count("gone")
    ready = seen.count("ready")
    assert manager.start_tunnel() is True
    if number % 5 == 0:
        until(lambda: seen.count("ready") == ready + 1)
    stop()
    until(lambda: seen.count("gone") == gone + 1)
for number in range(10):
    cycle(number)
gc.collect()
before = used()
for number in range(int(sys.argv[2])):
    cycle(number)
gc.collect()
# The relay's ends of connections are closed after the agents'.
until(lambda: all(now <= then + 2 for now, then in zip(used()[:2], before)))
grown = used()[2] - before[2]
relay.close(0)
# A relay that takes connections and says nothing.
silent = socket.create_server(("127.0.0.1", 0))
manager.set_server("ws://127.0.0.1:%d/connect" % silent.getsockname()[1], relay_identity.address)
assert manager.start_tunnel() is True
accepted, _ = silent.accept()
stop()
print(json.dumps({"first": first, "grown": grown, "raised": len(raised)}))
"""


@pytest.mark.parametrize("binding", QT or ["none"])
def test_a_window_gets_every_signal_in_order_through_restarts_of_the_relay_and_stopping_leaves_nothing(binding):
    if binding == "none":
        pytest.skip("no binding of Qt is installed")
    ended = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", QT_PROGRAM, binding, "100"],
        capture_output=True, text=True, timeout=120, env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    first = [each for each in told["first"] if each != "failed"]
    # Attempts while the relay is away are errors; how many there are is up to the machine.
    calm, at = [], 0
    while at < len(first):
        if first[at : at + 3] == ["connecting", "error", "reconnecting"]:
            at += 3
            continue
        if first[at : at + 2] == ["error", "reconnecting"]:
            at += 2
            continue
        calm.append(first[at])
        at += 1
    connection = ["connecting", "authenticating", "connected", "connected", "ready"]
    expected = connection + (["reconnecting"] + connection) * 3 + ["disconnected", "gone"]
    assert calm == expected, told
    # The slot for "connected" raises each time.
    assert told["raised"] >= 4
    assert told["grown"] < 16 * 1024 * 1024, told


def test_the_worker_module_can_be_imported_without_qt():
    code = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("PyQt5", "PyQt6", "PySide6"):
            raise ImportError(name)
sys.meta_path.insert(0, Nothing())
import tunnel_worker
try:
    tunnel_worker.TunnelManager()
except ImportError as error:
    print("missing", error)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE)
    assert ended.stdout.startswith("missing install PyQt5"), ended.stderr


def test_relays_are_not_needed_to_make_tokens(wallet):
    client = HVYMTunnelClient(wallet, TunnelConfig(server_address=hvym_tunnel.Identity.generate().address))
    assert client._create_jwt().count(".") == 2
    assert client._create_jwt("c") != client._create_jwt("d")
    assert client._build_endpoint_url() == f"https://{wallet.public_key}.tunnel.heavymeta.art"
