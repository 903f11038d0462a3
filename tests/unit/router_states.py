"""States as hypothesis makes them, for the router's property-based tests."""

from hypothesis import strategies as st

from slipway.router.state import Limits, Replica, Service, State, hashed, state_of
from slipway.versions import VersionOf

REPLICAS = [Replica(f"10.0.0.{number}", 5001) for number in range(1, 6)]
KEYS = [hashed(f"key {number}") for number in range(4)]
NAMES = ["diabetes", "echo", "fraud"]
LIMITS = [Limits(), Limits(concurrency=4), Limits(auth="none"), Limits(auth="token")]


def services(name: str) -> st.SearchStrategy[Service]:
    """Any service of one name with the same limits."""
    return st.builds(
        Service,
        name=st.just(name),
        limits=st.just(Limits(concurrency=2)),
        replicas=st.frozensets(st.sampled_from(REPLICAS)),
        keys=st.frozensets(st.sampled_from(KEYS)),
    )


def versions(name: str) -> st.SearchStrategy[Service]:
    """Any state of a version of `spam`."""
    traffic = st.builds(
        VersionOf,
        endpoint=st.just("spam"),
        name=st.just(name),
        traffic_percentile=st.floats(0, 100),
        is_default=st.booleans(),
    )
    return st.builds(
        Service,
        name=st.just(f"spam-{name}"),
        limits=st.just(Limits(concurrency=2)),
        replicas=st.frozensets(st.sampled_from(REPLICAS)),
        version=traffic,
        routed=st.booleans(),
    )


same_services: st.SearchStrategy[State] = st.tuples(
    *(services(name) for name in NAMES), versions("blue"), versions("green")
).map(lambda found: state_of(*found))
"""States that differ in replicas, keys and traffic only."""

any_services: st.SearchStrategy[State] = st.lists(
    st.builds(
        Service,
        name=st.sampled_from(NAMES),
        limits=st.sampled_from(LIMITS),
        replicas=st.frozensets(st.sampled_from(REPLICAS)),
        keys=st.frozensets(st.sampled_from(KEYS)),
    ),
    unique_by=lambda service: service.name,
).map(lambda found: state_of(*found))
