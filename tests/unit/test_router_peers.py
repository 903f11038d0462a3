"""One router of several scales a service, by what all of them see."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.kube.folder import Object
from slipway.router.endpoints import Pod
from slipway.router.ownership import Pods, ranking, router_pods
from slipway.router.peers import KEEP_SECONDS, NOTHING, Loads, Peers, Sum, ask, since, total
from slipway.router.scaling.sampling import Counted

NAMES = st.text("abcdefghijklmnopqrstuvwxyz-0123456789", min_size=1, max_size=20)
PODS = st.sets(NAMES, min_size=1, max_size=6)
SERVICES = [f"service-{number}" for number in range(600)]
OWN = {"echo": Counted(arrivals=3, refused=1, busy=1, queued=0, ready=2, service_seconds=0.1)}


def answer(
    arrivals: int, busy: int = 0, run: str = "first", seconds: float | None = None, refused: int = 0
) -> Loads:
    return Loads(pod="b", run=run, services={"echo": Counted(arrivals, refused, busy, 1, 2, seconds)})


def owner(service: str, pods: Iterable[str]) -> str:
    return ranking(service, pods)[0]


@given(NAMES, PODS)
def test_the_owner_is_one_of_the_pods_whatever_their_order(service: str, pods: set[str]) -> None:
    assert owner(service, sorted(pods)) == owner(service, sorted(pods, reverse=True))
    assert owner(service, pods) in pods


def test_the_owner_is_the_same_in_every_process() -> None:
    assert [owner(name, ["a", "b", "c"]) for name in ("echo", "fraud", "diabetes")] == ["c", "c", "a"]


@given(PODS, NAMES)
def test_when_a_pod_comes_or_goes_only_its_services_move(pods: set[str], other: str) -> None:
    few = pods - {other} or {f"{other}-2"}
    for service in SERVICES[:50]:
        assert owner(service, few | {other}) in (owner(service, few), other)


@given(st.sets(NAMES, min_size=2, max_size=6))
def test_each_pod_gets_about_its_share(pods: set[str]) -> None:
    share = len(SERVICES) / len(pods)
    found = Counter(owner(service, pods) for service in SERVICES)
    assert all(0.4 * share < found[pod] < 1.6 * share for pod in pods)


PORTS = {"admin": 8081, "peer": 8444}


def slice_of(*endpoints: Object) -> Object:
    ports = [{"name": name, "port": number} for name, number in PORTS.items()]
    return {"metadata": {"name": "one"}, "ports": ports, "endpoints": list(endpoints)}


def endpoint(name: str, **conditions: bool) -> Object:
    return {
        "addresses": [f"10.0.0.{ord(name)}"],
        "conditions": conditions,
        "targetRef": {"kind": "Pod", "name": name},
    }


def test_pods_are_known_by_all_slices_that_can_be_read() -> None:
    ready, stopping = endpoint("a", ready=True), endpoint("c", ready=False, terminating=True)
    slices = [slice_of(ready, endpoint("b", ready=False)), slice_of(stopping), slice_of({"addresses": 1})]
    assert router_pods(slices) == Pods({"a": Pod("a", "10.0.0.97", PORTS, ready=True)}, frozenset("ab"))


def test_who_is_not_ready_owns_nothing_while_others_are() -> None:
    peers = Peers("a")
    assert peers.owner("echo") == "a", "alone"
    peers.find([slice_of(endpoint("a", ready=False), endpoint("b", ready=True))])
    assert {peers.owner(name) for name in SERVICES} == {"b"}
    unnamed = Peers("")
    unnamed.find([slice_of(endpoint("b", ready=True))])
    assert unnamed.owner("echo") == unnamed.pod


@pytest.mark.parametrize(
    ("names", "complete"), [([], True), (["a"], True), (["a", "b"], False)], ids=["none", "itself", "others"]
)
def test_while_no_router_is_ready_what_one_sees_is_all_only_if_it_is_alone(
    names: list[str], complete: bool
) -> None:
    peers = Peers("a")
    peers.find([slice_of(*(endpoint(name, ready=False) for name in names))])
    assert asyncio.run(peers.look(OWN, 0)) == (OWN, complete)


def test_what_was_counted_since_is_what_was_added() -> None:
    before = total({}, OWN)
    assert since(before, total(before, OWN)) == OWN
    assert since(total(before, OWN), before)["echo"].arrivals == 0, "never less than none"
    assert since({}, OWN) == OWN


def test_requests_of_all_are_summed_and_what_is_ready_is_ours() -> None:
    one = Sum()
    assert one.look(OWN, {"b": answer(1000, busy=4, refused=50)}, 0)[0]["echo"].arrivals == 3, (
        "what another counted before it was known is no burst"
    )
    seen, complete = one.look(OWN, {"b": answer(1010, busy=4, seconds=0.3, refused=52)}, 1)
    (echo,) = seen.values()
    assert (echo.arrivals, echo.refused, echo.busy, echo.queued, echo.ready) == (13, 3, 5, 1, 2)
    assert echo.service_seconds == pytest.approx((4 * 0.1 + 14 * 0.3) / 18), "by their requests"
    assert complete


def test_the_mean_time_of_a_router_without_requests_does_not_count() -> None:
    one = Sum()
    one.look(OWN, {"b": answer(7, seconds=9.0)}, 0)
    assert one.look(OWN, {"b": answer(7, seconds=9.0)}, 1)[0]["echo"].service_seconds == 0.1
    idle = {"echo": replace(NOTHING, service_seconds=5.0)}
    assert one.look(idle, {"b": answer(7, seconds=9.0)}, 2)[0]["echo"].service_seconds == 0.1, "as it was"


def test_a_router_that_restarted_has_no_burst() -> None:
    one = Sum()
    one.look(OWN, {"b": answer(10)}, 0)
    assert one.look(OWN, {"b": answer(500, busy=2, run="second")}, 1)[0]["echo"].arrivals == 3
    assert one.look(OWN, {"b": answer(504, run="second")}, 2)[0]["echo"].arrivals == 7


def test_a_silent_router_goes_on_as_before_for_a_while_and_then_it_is_missing() -> None:
    one = Sum()
    for second in range(3):
        one.look(OWN, {"b": answer(20 * second, busy=4)}, second)
    for second in (3, 4, 5):
        seen, complete = one.look(OWN, {"b": None}, second)
        assert (seen["echo"].arrivals, seen["echo"].busy, complete) == (23, 5, True)
    assert one.look(OWN, {"b": None}, 2 + KEEP_SECONDS + 1) == (OWN, False)
    seen, complete = one.look(OWN, {"b": answer(900, busy=4)}, 7)
    assert (seen["echo"].arrivals, seen["echo"].busy, complete) == (3, 5, True), "no burst"


def test_a_router_that_never_answers_is_missing_soon_and_one_that_left_is_not() -> None:
    one = Sum()
    assert one.look(OWN, {"b": None}, 0) == (OWN, True)
    assert one.look(OWN, {"b": None}, KEEP_SECONDS + 1) == (OWN, False)
    assert one.look(OWN, {}, KEEP_SECONDS + 2) == (OWN, True)


def test_an_answer_counts_only_from_the_pod_that_was_asked() -> None:
    async def scenario() -> None:
        said = b"HTTP/1.1 503 Service Unavailable\r\n\r\nHAProxy does not answer\n"

        async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(said)
            writer.close()

        server = await asyncio.start_server(tell, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        b, c = (Pod(name, "127.0.0.1", {"admin": port}, ready=True) for name in "bc")
        async with server:
            assert await ask(b) is None
            said = b"HTTP/1.1 200 OK\r\n\r\n" + answer(5).model_dump_json().encode()
            assert await ask(b) == answer(5)
            assert await ask(c) is None
        assert await ask(b) is None

    asyncio.run(scenario())
