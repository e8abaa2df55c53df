"""What an agent leaves behind: nothing, after many starts, many callbacks, a fork, and the end of the interpreter."""

import gc
import os
import subprocess
import sys
import threading
import tracemalloc

import pytest

import hvym_tunnel
from support import DEADLINE, visit, wait_until
from hvym_tunnel import Agent, Relay

CYCLES = 100
CALLBACKS = 10_000


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts by /proc")


@needs_proc
def test_starts_and_stops_leave_nothing_behind(relay):
    def cycle():
        agent = Agent(relay.url, {"web": "3000"})
        with agent:
            assert agent.is_online
            agent.on("closed", lambda event: None)

    for _ in range(10):
        cycle()
    gc.collect()
    before = (threading.active_count(), descriptors())
    memory = resident()
    tracemalloc.start()
    first = tracemalloc.take_snapshot()
    for _ in range(CYCLES):
        cycle()
    gc.collect()
    last = tracemalloc.take_snapshot()
    tracemalloc.stop()
    # Connections of the relay end after their agents have gone.
    assert (threading.active_count(), descriptors()) <= (before[0], before[1] + 4)
    mine = [difference for difference in last.compare_to(first, "filename") if "hvym_tunnel" in str(difference.traceback)]
    assert sum(difference.size_diff for difference in mine) < 64 * 1024, mine[:10]
    assert resident() - memory < 16 * 1024 * 1024


@needs_proc
def test_agents_that_nobody_holds_end(relay):
    before = threading.active_count()
    for _ in range(5):
        agent = Agent(relay.url, {"web": "3000"})
        agent.start()
        agent.wait_online(DEADLINE)
        del agent
    gc.collect()
    for _ in range(int(DEADLINE / 0.05)):
        if threading.active_count() <= before:
            break
        threading.Event().wait(0.05)
    assert threading.active_count() <= before


@needs_proc
def test_callbacks_leave_nothing_behind():
    from hvym_tunnel._pump import Event, Pumped

    class Source:
        """Gives events as the native side does, in pieces."""

        def __init__(self, count):
            self.left = count

        def next(self):
            if not self.left:
                return None
            self.left -= 100
            return ['{"event":"request","method":"GET","path":"/","status":200,"seconds":0.1}'] * 100

    def run(count):
        seen = []
        pumped = Pumped()
        pumped.on("request", lambda event: seen.append(event.status))
        pumped.on("request", lambda event: 1 / 0 if len(seen) == 1 else None)
        pumped._start_pump(Source(count), "test")
        with pumped._changed:
            assert pumped._changed.wait_for(lambda: pumped._has_ended, DEADLINE)
        assert seen == [200] * count

    run(1000)
    gc.collect()
    before, memory = (threading.active_count(), descriptors()), resident()
    tracemalloc.start()
    first = tracemalloc.take_snapshot()
    run(CALLBACKS)
    gc.collect()
    last = tracemalloc.take_snapshot()
    tracemalloc.stop()
    mine = [difference for difference in last.compare_to(first, "filename") if "hvym_tunnel" in str(difference.traceback)]
    assert sum(difference.size_diff for difference in mine) < 64 * 1024, mine[:10]
    # The thread of the pump ends right after it has said so.
    wait_until(lambda: threading.active_count() <= before[0], "the end of the thread")
    assert descriptors() <= before[1]
    assert resident() - memory < 16 * 1024 * 1024
    assert Event("x", {"a": 1}).a == 1


def run_python(code, *arguments):
    # What starts tests in the background may ignore interrupts, and children inherit that.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + code
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code, *arguments], capture_output=True, text=True, timeout=DEADLINE
    )


@pytest.mark.parametrize("ending", ["pass", "raise SystemExit(0)", "import os, signal; os.kill(os.getpid(), signal.SIGINT)"])
def test_the_interpreter_ends_while_an_agent_runs(relay, ending):
    code = f"""
import logging, sys
logging.basicConfig(level=logging.DEBUG)
import hvym_tunnel
agent = hvym_tunnel.Agent(sys.argv[1], {{"web": "3000"}})
agent.on("*", lambda event: None)
agent.start()
print(agent.wait_online())
{ending}
"""
    ended = run_python(code, relay.url)
    assert ended.stdout.startswith("http://"), ended.stderr
    expected = (0,) if "SIGINT" not in ending else (1, 130, -2)
    assert ended.returncode in expected, ended.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_closes_what_it_inherited_and_starts_its_own(relay, origin):
    code = """
import os, sys, warnings
warnings.simplefilter("ignore")
import hvym_tunnel
agent = hvym_tunnel.Agent(sys.argv[1], {"web": sys.argv[2]})
agent.start()
agent.wait_online()
child = os.fork()
if child == 0:
    try:
        agent.status()
        print("inherited")
    except hvym_tunnel.ForkedError:
        print("forked")
    agent.close()
    with hvym_tunnel.Agent(sys.argv[1], {"web": sys.argv[2]}) as own:
        print("own", own.is_online)
    sys.stdout.flush()
    os._exit(0)
_, status = os.waitpid(child, 0)
print("child", status, "parent", agent.status()["link"], flush=True)
agent.close()
print(agent.state)
"""
    ended = run_python(code, relay.url, str(origin))
    assert ended.stdout.split("\n")[:4] == ["forked", "own True", "child 0 parent connected", "closed"], ended.stderr


def test_many_agents_and_relays_are_in_one_process(origin):
    with Relay() as one, Relay() as other:
        agents = [Agent(relay.url, {"web": str(origin)}) for relay in (one, other) for _ in range(3)]
        for agent in agents:
            agent.start()
        urls = {agent.wait_online(DEADLINE) for agent in agents}
        assert len(urls) == 6
        assert all(visit(url)[0] == 200 for url in urls)
        for agent in agents:
            agent.close()


def test_exceptions_can_be_sent_to_other_processes():
    import pickle

    error = hvym_tunnel.errors.from_code("authentication", "no")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.code) == (hvym_tunnel.AuthenticationFailed, "no", "authentication")
