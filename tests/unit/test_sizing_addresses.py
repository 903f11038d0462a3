"""Addresses, ranges and ports: the documents' examples, and values just inside and just outside."""

from ipaddress import IPv4Address, IPv4Network
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.sizing import addresses, ranges, snat

NET = IPv4Network
prefixes = st.integers(8, 30)


@st.composite
def networks(draw: st.DrawFn, lengths: st.SearchStrategy[int] = prefixes) -> IPv4Network:
    length = draw(lengths)
    return IPv4Network((draw(st.integers(0, 2**length - 1)) << (32 - length), length))


# -- addresses


@pytest.mark.parametrize(("nodes", "addresses_", "prefix"), [(50, 1581, 21), (60, 1891, 21)])
def test_the_documents_examples_of_azure_cni(nodes: int, addresses_: int, prefix: int) -> None:
    assert addresses.addresses_needed("azure", nodes, 1, 30) == addresses_
    assert addresses.smallest_prefix(addresses_) == prefix


def test_a_24_has_251_nodes_with_kubenet_and_eight_with_azure_cni() -> None:
    room = addresses.usable(NET("10.0.0.0/24"))
    assert room == 251
    assert addresses.addresses_needed("kubenet", 250, 1, 110) == 251
    assert addresses.addresses_needed("overlay", 251, 1, 250) > room
    assert (
        addresses.addresses_needed("azure", 7, 1, 30) <= room < addresses.addresses_needed("azure", 8, 1, 30)
    )


@given(st.integers(1, 2**24 - 5))
def test_the_smallest_prefix_has_room_and_the_next_has_none(wanted: int) -> None:
    length = addresses.smallest_prefix(wanted)
    assert addresses.usable(NET((0, length))) >= wanted
    assert length == 29 or addresses.usable(NET((0, length + 1))) < wanted


def test_more_addresses_than_the_largest_network_has_are_refused() -> None:
    assert addresses.smallest_prefix(2**24 - 5) == 8
    with pytest.raises(ValueError, match="16777212"):
        addresses.smallest_prefix(2**24 - 4)


@pytest.mark.parametrize(
    ("pods", "nodes"),
    [("10.244.0.0/16", 256), ("10.244.0.0/15", 512), ("10.0.0.0/24", 1), ("10.0.0.0/25", 0)],
)
def test_each_node_takes_a_24_of_the_pods_range(pods: str, nodes: int) -> None:
    assert addresses.pod_range_nodes(NET(pods)) == nodes


@pytest.mark.parametrize(
    ("max_surge", "nodes", "surge"),
    [(1, 5, 1), ("33%", 3, 1), ("33%", 4, 2), ("50%", 4, 2), ("100%", 7, 7), (10, 4, 4), ("5", 9, 5)],
)
def test_a_surge_in_percent_is_rounded_up_and_never_more_than_the_nodes(
    max_surge: int | str, nodes: int, surge: int
) -> None:
    assert addresses.surge_nodes(max_surge, nodes) == surge


# -- ranges


@given(st.lists(networks(), max_size=12))
def test_overlaps_are_the_pairs_that_share_an_address(found: list[IPv4Network]) -> None:
    named = {f"range{index}": network for index, network in enumerate(found)}
    expected = [(a, b) for a, b in combinations(named, 2) if named[a].overlaps(named[b])]
    assert ranges.overlaps(named) == expected


@given(networks())
def test_what_is_forbidden_overlaps_a_range_of_akss_own(network: IPv4Network) -> None:
    assert ranges.forbidden(network) == [own for own in ranges.FORBIDDEN if own.overlaps(network)]


@pytest.mark.parametrize(
    ("network", "own"),
    [
        ("172.16.0.0/12", ["172.30.0.0/16", "172.31.0.0/16"]),
        ("172.29.0.0/16", []),
        ("172.30.255.0/24", ["172.30.0.0/16"]),
        ("192.0.2.128/25", ["192.0.2.0/24"]),
        ("192.0.3.0/24", []),
        ("169.254.169.254/32", ["169.254.0.0/16"]),
        ("10.224.0.0/16", []),
    ],
)
def test_ranges_at_the_edge_of_akss_own(network: str, own: list[str]) -> None:
    assert ranges.forbidden(NET(network)) == list(map(NET, own))


@pytest.mark.parametrize(
    ("services", "fits"), [("10.0.0.0/16", True), ("10.0.0.0/13", True), ("10.0.0.0/12", False)]
)
def test_the_range_of_services_is_smaller_than_a_12(services: str, fits: bool) -> None:
    assert ranges.service_range_fits(NET(services)) is fits


@pytest.mark.parametrize(
    ("address", "fits"),
    [
        ("10.0.0.10", True),
        ("10.0.0.2", True),
        ("10.0.255.254", True),
        ("10.0.0.0", False),
        ("10.0.0.1", False),
        ("10.0.255.255", False),
        ("10.1.0.10", False),
    ],
)
def test_cluster_dns_has_a_free_address_of_the_services(address: str, fits: bool) -> None:
    assert ranges.dns_address_fits(NET("10.0.0.0/16"), IPv4Address(address)) is fits


@given(
    networks(st.integers(8, 24)),
    st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(8, 30), max_size=10),
    st.lists(networks(), max_size=5),
)
def test_subnets_are_inside_disjoint_and_of_the_size_asked_for(
    space: IPv4Network, wanted: dict[str, int], taken: list[IPv4Network]
) -> None:
    found = ranges.subnets(space, wanted, taken)
    assert list(found) == [name for name in wanted if name in found]
    for name, network in found.items():
        assert network.prefixlen == wanted[name]
        assert network.subnet_of(space)
        assert not any(network.overlaps(other) for other in taken)
    assert not any(a.overlaps(b) for a, b in combinations(found.values(), 2))


@given(
    networks(st.integers(24, 27)), st.lists(st.integers(24, 30), max_size=8), st.lists(networks(), max_size=3)
)
def test_a_subnet_is_left_out_only_if_the_addresses_cannot_hold_all(
    space: IPv4Network, lengths: list[int], elsewhere: list[IPv4Network]
) -> None:
    """Ranges are powers of two, so those that fit in sum fit in place."""
    wanted = {str(index): length for index, length in enumerate(lengths)}
    taken = [network for network in elsewhere if not network.overlaps(space)]
    total = sum(2 ** (32 - length) for length in lengths)
    assert (len(ranges.subnets(space, wanted, taken)) == len(wanted)) == (total <= space.num_addresses)


def test_a_network_is_split_around_what_stands_in_it() -> None:
    found = ranges.subnets(
        NET("10.224.0.0/16"),
        {"router": 24, "user": 18, "firewall": 26, "system": 22},
        [NET("10.224.0.0/24")],
    )
    assert {name: str(network) for name, network in found.items()} == {
        "router": "10.224.1.0/24",
        "user": "10.224.64.0/18",
        "firewall": "10.224.2.0/26",
        "system": "10.224.4.0/22",
    }


# -- ports


@pytest.mark.parametrize(
    ("nodes", "ports"), [(1, 1024), (48, 1024), (50, 1024), (51, 512), (52, 512), (400, 128), (1000, 32)]
)
def test_a_load_balancer_gives_fewer_ports_to_more_nodes(nodes: int, ports: int) -> None:
    assert snat.load_balancer_ports(nodes) == ports


def test_beyond_a_thousand_nodes_a_load_balancer_gives_no_ports_by_itself() -> None:
    with pytest.raises(ValueError, match="1001"):
        snat.load_balancer_ips(1001)


@pytest.mark.parametrize(
    ("ports", "ips", "nodes"), [(1000, 2, 128), (1000, 7, 448), (4000, 2, 32), (4000, 7, 112)]
)
def test_the_documents_examples_of_outbound_addresses(ports: int, ips: int, nodes: int) -> None:
    assert snat.load_balancer_ips(nodes, ports) == ips
    assert snat.load_balancer_ips(nodes + 1, ports) == ips + 1


@pytest.mark.parametrize("ports", [0, 4, 1001, 64_008])
def test_outbound_ports_are_multiples_of_eight(ports: int) -> None:
    with pytest.raises(ValueError, match=f"ports = {ports}"):
        snat.load_balancer_ips(1, ports)


@given(st.integers(0, 1_000_000))
def test_public_addresses_have_ports_for_all_connections_and_one_fewer_has_not(connections: int) -> None:
    nat = snat.nat_gateway_ips(connections)
    assert (nat - 1) * 64_512 < max(1, connections) <= nat * 64_512
    firewall = snat.firewall_ips(connections, production=False)
    assert (firewall - 1) * 2 * 2_496 < max(1, connections) <= firewall * 2 * 2_496


def test_a_firewall_of_production_has_twenty_addresses_at_least() -> None:
    assert snat.firewall_ips(1, production=True) == 20
    assert snat.firewall_ips(20 * 4_992, production=True) == 20
    assert snat.firewall_ips(20 * 4_992 + 1, production=True) == 21
