import asyncio
import json
import logging
import threading

import pytest

import hvym_tunnel
from support import DEADLINE, visit, wait_until
from hvym_tunnel import Agent, Relay, Service
from hvym_tunnel.agent import Link

QUICK = Link(backoff_initial=0.05, backoff_max=0.2)


def test_a_service_is_online_inside_and_gone_after(relay, origin):
    with Agent(relay.url, {"web": str(origin)}) as agent:
        assert (agent.state, agent.is_online) == ("connected", True)
        status, _, body = visit(f"{agent.url}/a?b=c")
        assert (status, json.loads(body)["path"]) == (200, "/a?b=c")
        url = agent.url
    assert agent.state == "closed"
    assert visit(url)[0] in (404, 502, 503)


def test_the_same_in_a_loop(relay, origin):
    async def run():
        async with Agent(relay.url, {"web": str(origin)}) as agent:
            status, _, _ = await asyncio.to_thread(visit, agent.url)
            assert status == 200
        assert agent.state == "closed"

    asyncio.run(run())


def test_services_come_and_go_while_it_runs(relay, origin):
    with Agent(relay.url, {"web": str(origin)}) as agent:
        agent.bind("api", str(origin))
        wait_until(lambda: "api" in agent.urls, "the relay taking a service")
        assert visit(agent.urls["api"])[0] == 200
        agent.bind(Service("api", str(origin), credentials=("ann:secret",)))
        wait_until(lambda: visit(agent.urls["api"])[0] == 401, "the new settings")
        agent.unbind("api")
        assert list(agent.urls) == ["web"]
        assert [service["service"] for service in agent.status()["services"]] == ["web"]
        with pytest.raises(hvym_tunnel.TunnelError) as unknown:
            agent.unbind("api")
        assert unknown.value.code == "unknown_service"


def test_settings_that_are_wrong_say_what_is():
    for relay, services, link in [
        ("ftp://x", {"web": "3000"}, None),
        ("ws://localhost:1", {"Web": "3000"}, None),
        ("ws://localhost:1", {"web": "0"}, None),
        ("ws://example.com", {"web": "3000"}, None),
        ("ws://localhost:1", {"web": "3000"}, Link(relay_address="G")),
        ("ws://localhost:1", [Service("web", "3000", allow=("nobody",))], None),
    ]:
        with pytest.raises(hvym_tunnel.InvalidSettings):
            Agent(relay, services, link=link).start()


def test_a_relay_that_is_away_is_an_error_if_that_is_wanted():
    with pytest.raises(hvym_tunnel.RelayUnreachable) as away:
        with Agent("ws://127.0.0.1:1", {"web": "3000"}, link=Link(retry=False)):
            pass
    assert away.value.code == "unreachable"


def test_waiting_ends():
    agent = Agent("ws://127.0.0.1:1", {"web": "3000"}, link=QUICK)
    agent.start()
    with pytest.raises(hvym_tunnel.TunnelTimeout):
        agent.wait_online(0.2)
    assert agent.state == "reconnecting"
    agent.close()


def test_waiting_in_a_loop_ends():
    async def run():
        agent = Agent("ws://127.0.0.1:1", {"web": "3000"}, link=QUICK)
        agent.start()
        with pytest.raises(hvym_tunnel.TunnelTimeout):
            await agent.online(0.2)
        await agent.aclose()

    asyncio.run(run())


def test_callbacks_run_on_the_thread_of_the_loop(relay, origin):
    async def run():
        seen, done = [], asyncio.Event()
        async with Agent(relay.url, {"web": str(origin)}) as agent:

            @agent.on("request")
            async def remember(event):
                seen.append((event.kind, event.method, event.path, event.status, threading.current_thread()))
                done.set()

            await asyncio.to_thread(visit, f"{agent.url}/x?token=secret")
            await asyncio.wait_for(done.wait(), DEADLINE)
        assert seen == [("request", "GET", "/x", 200, threading.main_thread())]

    asyncio.run(run())


def test_callbacks_outside_of_a_loop_run_on_a_thread_of_their_own(relay, origin):
    seen, done = [], threading.Event()
    agent = Agent(relay.url, {"web": str(origin)})
    agent.on("online", lambda event: (seen.append(threading.current_thread().name), done.set()))
    with agent:
        assert done.wait(DEADLINE)
    assert seen == ["hvym-tunnel-agent"]


def test_an_exception_in_a_callback_ends_nothing(relay, origin, caplog):
    seen, done = [], threading.Event()
    agent = Agent(relay.url, {"web": str(origin)})
    agent.on("online", lambda event: 1 / 0)
    agent.on("online", seen.append)
    agent.on("request", lambda event: done.set())
    with caplog.at_level(logging.ERROR, "hvym_tunnel"), agent:
        assert visit(agent.url)[0] == 200
        assert done.wait(DEADLINE)
    assert len(seen) == 1
    assert "ZeroDivisionError" in caplog.text


def test_a_callback_may_close_the_agent(relay, origin):
    agent = Agent(relay.url, {"web": str(origin)})
    # It could not wait for its own end, however long it may.
    agent.on("online", lambda event: agent.close(1e6))
    agent.start()
    assert agent.wait_stopped(DEADLINE)


def test_a_callback_that_is_taken_back_is_not_called(relay, origin):
    seen, done = [], threading.Event()
    agent = Agent(relay.url, {"web": str(origin)})
    agent.on("request", seen.append)
    agent.off("request", seen.append)
    agent.on("request", lambda event: done.set())
    with agent:
        visit(agent.url)
        assert done.wait(DEADLINE)
    assert seen == []


def test_events_are_a_stream_that_ends_with_the_agent(relay, origin):
    async def run():
        agent = Agent(relay.url, {"web": str(origin)})
        events = agent.events()
        kinds = []
        async with agent:
            await asyncio.to_thread(visit, agent.url)
            async for event in events:
                kinds.append(event.kind)
                if event.kind == "request":
                    break
        async for event in events:
            kinds.append(event.kind)
        return kinds

    kinds = asyncio.run(run())
    assert kinds[0] == "online" and "request" in kinds


def test_it_comes_back_when_the_relay_does(origin):
    identity = hvym_tunnel.Identity.generate()
    first = Relay(identity=identity)
    first.start()
    port = first.listen[1]
    kinds, back = [], threading.Event()
    agent = Agent(first.url, {"web": str(origin)}, link=QUICK)
    agent.on("*", lambda event: (kinds.append(event.kind), back.set() if event.kind == "reconnected" else None))
    with agent:
        first.close(0)
        with Relay(identity=identity, listen=f"127.0.0.1:{port}"):
            assert back.wait(DEADLINE)
            assert visit(agent.url)[0] == 200
    assert kinds.index("online") < kinds.index("disconnected") < kinds.index("reconnected")


def test_a_relay_with_another_key_is_not_trusted(relay, origin):
    other = hvym_tunnel.Identity.generate().address
    with pytest.raises(hvym_tunnel.AuthenticationFailed) as refused:
        with Agent(relay.url, {"web": str(origin)}, link=Link(relay_address=other)):
            pass
    assert refused.value.code == "wrong_relay"


def test_close_is_bounded_while_a_loop_does_not_run_and_a_request_hangs(relay):
    import socket

    silent = socket.create_server(("127.0.0.1", 0))

    async def run():
        agent = Agent(relay.url, {"web": str(silent.getsockname()[1])})
        agent.on("*", lambda event: None)
        await agent.__aenter__()
        threading.Thread(target=lambda: _ignore(visit, agent.url), daemon=True).start()
        accepted, _ = await asyncio.to_thread(silent.accept)
        # Blocks the loop, as a careless program does.
        agent.close(0.2)
        assert agent.wait_stopped(0)
        accepted.close()

    asyncio.run(run())
    silent.close()


def _ignore(function, *arguments):
    try:
        function(*arguments)
    except OSError:
        pass


def test_an_agent_starts_once(relay, origin):
    with Agent(relay.url, {"web": str(origin)}) as agent:
        with pytest.raises(hvym_tunnel.AgentEnded):
            agent.start()
    agent.close()


def test_records_of_the_native_module_reach_logging(relay, origin, caplog):
    with caplog.at_level(logging.INFO, "hvym_tunnel"):
        with Agent(relay.url, {"web": str(origin)}) as agent:
            url = agent.url
    assert f"online at {url}" in caplog.text


def test_relays_tell_of_their_agents(origin):
    joined, left = threading.Event(), threading.Event()
    with Relay() as relay:
        relay.on("agent_joined", lambda event: joined.set())
        relay.on("agent_left", lambda event: left.set())
        with Agent(relay.url, {"web": str(origin)}):
            assert joined.wait(DEADLINE)
            assert relay.status()["sessions"] == 1
        assert left.wait(DEADLINE)


def test_a_relay_for_other_machines_must_say_whom_it_takes():
    with pytest.raises(hvym_tunnel.InvalidSettings):
        Relay(listen="0.0.0.0:0", domain="tunnel.example").start()


def test_a_relay_takes_only_whom_it_allows(origin):
    friend = hvym_tunnel.Identity.generate()
    with Relay(allow=[friend.address]) as relay:
        with Agent(relay.url, {"web": str(origin)}, identity=friend) as agent:
            assert agent.is_online
        with pytest.raises(hvym_tunnel.AuthenticationFailed):
            with Agent(relay.url, {"web": str(origin)}, link=Link(retry=False)):
                pass
