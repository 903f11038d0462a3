"""What a router reads from its environment, which HAProxy it takes, and how it reads HAProxy's figures."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.problems import Problems
from slipway.router.binary import unfit
from slipway.router.load import Load, loads, requests, rows
from slipway.router.options import Options, Size, Tls, from_environment

GIVEN = {"SLIPWAY_OBJECTS": "/objects", "SLIPWAY_RUN_DIR": "/run/slipway"}


def test_when_little_is_given_then_the_rest_has_defaults() -> None:
    assert from_environment(GIVEN) == Options(objects=Path("/objects"), directory=Path("/run/slipway"))


def test_when_all_is_given_then_all_is_read() -> None:
    given = GIVEN | {
        "POD_IP": "10.0.0.1",
        "POD_NAMESPACE": "other",
        "POD_NAME": "router-1",
        "PORT": "80",
        "ADMIN_PORT": "81",
        "MINIMUM_UPLOAD_RATE": "1000",
        "ACCESS_LOG_RATE": "0",
        "SLIPWAY_HTTP_REUSE": "safe",
        "SLIPWAY_THREADS": "2",
        "ROUTER_MEMORY": "512",
        "ROUTER_REPLICAS": "3",
        "ROUTER_CPU": "900",
        "ROUTER_MOST_CPU": "2900",
    }
    assert from_environment(given) == Options(
        objects=Path("/objects"),
        directory=Path("/run/slipway"),
        address="10.0.0.1",
        port=80,
        admin_port=81,
        namespace="other",
        pod="router-1",
        reuse="safe",
        minimum_upload_rate=1000,
        access_log_rate=0,
        threads=2,
        memory_mib=512,
        size=Size(3, 900, 2900),
    )


def test_a_thread_has_a_whole_core_and_the_first_one_what_there_is() -> None:
    assert [Size(1, 100, most).most_threads for most in (100, 1999, 2000, 2900)] == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PORT", "http", 'PORT = "http": must be a whole number from 1 to 65535'),
        ("PORT", "0", "whole number"),
        ("ADMIN_PORT", "65536", "whole number"),
        ("MINIMUM_UPLOAD_RATE", "-1", "whole number"),
        ("ACCESS_LOG_RATE", "", "whole number from 0"),
        ("POD_IP", "localhost", "must be a plain IP address"),
        ("POD_IP", "fe80::1%a b", "must be a plain IP address"),
        ("SLIPWAY_HTTP_REUSE", "often", "must be one of never, safe, aggressive, always"),
        ("ROUTER_CPU", "900", "ROUTER_CPU goes together with the others of ROUTER_REPLICAS, ROUTER_CPU, "),
        ("SLIPWAY_RUN_DIR", "", "SLIPWAY_RUN_DIR is not set"),
        ("SLIPWAY_OBJECTS", "", "SLIPWAY_OBJECTS is not set"),
    ],
)
def test_when_a_variable_is_wrong_then_the_error_says_what_it_must_be(
    name: str, value: str, said: str
) -> None:
    with pytest.raises(Problems, match=said):
        from_environment(GIVEN | {name: value})


def test_when_a_port_and_a_folder_with_a_certificate_are_given_then_https_is_on(tmp_path: Path) -> None:
    (tmp_path / "models.pem").touch()
    given = GIVEN | {"TLS_PORT": "8443", "TLS_DIR": str(tmp_path)}
    assert from_environment(given).tls == Tls(8443, tmp_path)
    assert from_environment(given).ports == [8080, 8081, 8443]


def test_when_a_port_and_a_secret_are_given_then_https_is_on() -> None:
    assert from_environment(GIVEN | {"TLS_PORT": "8443", "TLS_SECRETS": "a b"}).tls == Tls(
        8443, secrets=("a", "b")
    )


@pytest.mark.parametrize(
    "given",
    [
        {"TLS_PORT": "8443"},
        {"TLS_DIR": "/etc/slipway/tls"},
        {"TLS_SECRETS": "tls"},
        {"TLS_PORT": "8443", "TLS_DIR": "/etc/slipway/tls", "TLS_SECRETS": "tls"},
    ],
)
def test_when_half_of_https_is_given_then_the_other_is_asked_for(given: dict[str, str]) -> None:
    with pytest.raises(Problems, match="TLS_PORT goes together with one of TLS_DIR and TLS_SECRETS"):
        from_environment(GIVEN | given)


@pytest.mark.parametrize("names", [(), ("tls.key",)])
def test_when_a_folder_has_no_certificate_then_the_error_says_what_belongs_there(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(Problems) as caught:
            from_environment(GIVEN | {"TLS_PORT": "https", "TLS_DIR": str(folder)})
        port, certificate = caught.value.lines
        assert port.startswith('TLS_PORT = "https": must be a whole number')
        assert certificate.startswith(f'TLS_DIR = "{folder}"'[:60])
        assert certificate.endswith("mount tls.crt and tls.key there, or one file with certificate and key")


def test_when_several_variables_are_wrong_then_all_are_told() -> None:
    with pytest.raises(Problems) as caught:
        from_environment({"PORT": "x"})
    assert len(caught.value.lines) == 3


def test_when_in_a_cluster_then_it_is_watched_unless_a_folder_is_named() -> None:
    pod = {"SLIPWAY_RUN_DIR": "/run", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert from_environment(pod).objects is None
    assert from_environment(pod | GIVEN).objects == Path("/objects")


def described(
    version: str = "2.8.25-5cf5d0683", options: str = "USE_OPENSSL=1 USE_LUA=1 USE_PROMEX=1"
) -> str:
    return f"HAProxy version {version} 2026/06/26 - https://haproxy.org/\nBuild :\n  OPTIONS = {options}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (described(), None),
        (described("3.2.1"), "is version 3.2; 2.8 is needed"),
        (described("2.6.12-1+deb12u1"), "is version 2.6; 2.8 is needed"),
        (described(options="USE_LUA=1 USE_OPENSSL=1"), "was built without the Prometheus exporter"),
        (described(options=""), "was built without Lua and TLS and the Prometheus exporter"),
        ("nginx version: nginx/1.22.1", "is not HAProxy"),
        ("", "is not HAProxy"),
    ],
)
def test_when_a_haproxy_describes_itself_then_only_a_fit_one_passes(text: str, said: str | None) -> None:
    assert unfit(text) == said


STATISTICS = """\
# pxname,svname,qcur,scur,status,stot,connect,reuse,wretr,econ,rtime,
_detour,BACKEND,0,1,UP,1,1,0,0,0,0,
echo,_hold,0,1,no check,1,1,0,0,0,0,
echo,10.0.0.1:5001,0,1,UP,1,1,0,0,0,0,
echo,10.0.0.2:5001,0,1,UP 1/2,1,1,0,0,0,0,
echo,10.0.0.3:5001,0,1,MAINT,1,1,0,0,0,0,
echo,10.0.0.4:5001,0,0,DOWN,1,1,0,0,0,0,
echo,BACKEND,2,6,UP,1,1,0,0,0,0,
fraud,_hold,0,1,no check,1,1,0,0,0,0,
fraud,BACKEND,0,1,UP,1,1,0,0,0,0,
"""


def test_when_figures_are_read_then_services_are_summed_up_without_what_holds_queues() -> None:
    serving = frozenset({"10.0.0.1:5001", "10.0.0.2:5001"})
    assert loads(rows(STATISTICS)) == {"echo": Load(serving, busy=3, queued=2), "fraud": Load()}


@given(st.text(st.sampled_from('a,"\x0c\x1e\x85\u2028') | st.characters(exclude_characters="\r\n")))
def test_what_a_check_said_moves_no_figure(said: str) -> None:
    escaped = said.replace('"', '""')
    quoted = f'"{escaped}"' if set(said) & set(',"') else said
    text = f"# pxname,svname,last_chk,scur,qcur,more\necho,a,{quoted},3,,\necho,b,fine,4,1,,\n"
    assert [(row["svname"], row["scur"], row["qcur"]) for row in rows(text)] == [
        ("a", "3", ""),
        ("b", "4", "1"),
    ]


def test_who_tells_nothing_has_no_figures() -> None:
    assert rows("") == rows("Unknown command\n") == []


def test_when_requests_are_counted_then_those_that_hold_queues_are_none() -> None:
    assert requests(rows(STATISTICS)) == 6
