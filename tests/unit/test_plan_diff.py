"""Snapshots of plans and what changes between two of them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.engine import UNKNOWN, Graph, ProjectError, Registration, Secret, Value
from slipway.engine.providers import default_name
from slipway.plan import changes_text, changes_to_json, diff, load, path_of, save, snapshot
from slipway.plan.diff import ABSENT, Changes, flat, inputs_of, options_of
from slipway.plan.snapshot import Resource, Snapshot

POOL = "azure-native:containerservice:AgentPool"
PROVIDER = "urn:pulumi:dev::test::pulumi:providers:azure-native::default_3_29_0"


def urn(type_: str, name: str) -> str:
    return f"urn:pulumi:dev::test::{type_}::{name}"


def node(type_: str, name: str, inputs: dict[str, Value] | None = None, **more: Any) -> Registration:
    given: dict[str, Any] = {"custom": True, **more}
    return Registration(urn(type_, name), type_, name, inputs=inputs or {}, **given)


def kept(*registrations: Registration, **outputs: Value) -> Snapshot:
    return json.loads(json.dumps(snapshot(Graph("test", "dev", registrations, outputs))))


def changes(old: Registration, new: Registration) -> Changes:
    return diff(kept(old), kept(new), {new.urn: new.aliases})


def pool(name: str = "gpu", **inputs: Value) -> Registration:
    return node(POOL, name, {"vmSize": "a", "count": 1, **inputs})


leaves = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)
inputs_ = st.dictionaries(
    st.sampled_from(["vmSize", "count", "a.b", 'q"', "[0]", "tags"]), values, max_size=4
)
resources = st.fixed_dictionaries({"inputs": inputs_}, optional={"protect": st.just(True)})
snapshots: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {
        "resources": st.dictionaries(
            st.sampled_from([urn(POOL, name) for name in "abcd"]), resources, max_size=4
        ),
        "outputs": st.dictionaries(st.text(max_size=2), values, max_size=2),
    }
)


@given(snapshots)
def test_when_a_snapshot_is_compared_with_itself_then_nothing_changes(found: Snapshot) -> None:
    assert not diff(found, found).any
    assert diff(found, found) == Changes()


@given(snapshots, snapshots)
def test_when_changes_are_applied_to_the_old_then_the_new_comes_out(old: Snapshot, new: Snapshot) -> None:
    found = diff(old, new)
    state = {
        name: every(resource) for name, resource in old["resources"].items() if name not in found.deleted
    }
    state |= {name: every(new["resources"][name]) for name in found.created}
    for update in found.updated:
        for change in (*update.inputs, *update.options):
            assert state[update.urn].get(change.path, ABSENT) == change.old
            state[update.urn].pop(change.path, None)
            if change.new is not ABSENT:
                state[update.urn][change.path] = change.new
    assert state == {name: every(resource) for name, resource in new["resources"].items()}


@given(snapshots, snapshots)
def test_when_two_are_swapped_then_so_are_the_changes(old: Snapshot, new: Snapshot) -> None:
    there, back = diff(old, new), diff(new, old)
    assert (there.created, there.deleted) == (back.deleted, back.created)
    assert [update.urn for update in there.updated] == [update.urn for update in back.updated]


@given(values, values)
def test_when_values_differ_then_so_do_their_paths(one: object, other: object) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    first, second = (json.dumps(dict(flat({"a": value})), sort_keys=True) for value in (one, other))
    assert (first == second) == same


def every(found: Resource) -> dict[str, Any]:
    return {**inputs_of(found), **options_of(found)}


def test_when_an_input_changes_then_its_path_and_both_values_are_told() -> None:
    found = changes(pool(tags={"a": ["x", "y"]}), pool(tags={"a": ["x", "z"]}, count=2))
    assert [(one.path, one.old, one.new) for one in found.updated[0].inputs] == [
        ("count", 1, 2),
        ("tags.a[1]", "y", "z"),
    ]
    assert found.updated[0].replaced_by == ()
    assert found.refused == ()


def test_when_a_provider_would_make_a_new_resource_then_the_change_replaces() -> None:
    found = changes(pool(), pool(vmSize="b", count=2))
    assert found.updated[0].replaced_by == ("vmSize",)


@pytest.mark.parametrize(
    ("new", "by"),
    [
        ({"options": {"replaceOnChanges": ["tags.*"]}, "inputs": {"tags": {"a": "2"}}}, ("tags.a",)),
        ({"options": {"replaceOnChanges": ["tag"]}, "inputs": {"tags": {"a": "2"}}}, ()),
        ({"options": {"replacementTrigger": "2"}}, ("replacementTrigger",)),
        ({"provider": urn("pulumi:providers:azure-native", "other")}, ("provider",)),
        ({"provider": PROVIDER.replace("3_29_0", "3_30_1")}, ()),
    ],
)
def test_when_options_ask_for_it_then_a_change_replaces(new: dict[str, Any], by: tuple[str, ...]) -> None:
    old = node("a:b:C", "c", {"tags": {"a": "1"}}, provider=PROVIDER, options={"replacementTrigger": "1"})
    given: dict[str, Any] = {"inputs": old.inputs, "provider": PROVIDER, **new}
    given["options"] = {"replacementTrigger": "1", **given.get("options", {})}
    (update,) = changes(old, node("a:b:C", "c", **given)).updated or (None,)
    assert (update.replaced_by if update else ()) == by


def test_when_a_change_is_ignored_then_it_is_none() -> None:
    new = node(POOL, "gpu", {"vmSize": "b", "count": 5, "tags": {"x": "y"}}, ignore_changes=("count", "tags"))
    old = node(POOL, "gpu", {"vmSize": "a", "count": 1, "tags": {}}, ignore_changes=("count", "tags"))
    assert [one.path for one in changes(old, new).updated[0].inputs] == ["vmSize"]


@pytest.mark.parametrize(
    ("before", "after", "refused"), [(True, True, 1), (True, False, 0), (False, True, 0), (False, False, 0)]
)
def test_when_what_is_replaced_is_protected_before_and_after_then_it_is_refused(
    before: bool, after: bool, refused: int
) -> None:
    old, new = (
        node(POOL, "p", {"vmSize": "a"}, protect=before),
        node(POOL, "p", {"vmSize": "b"}, protect=after),
    )
    lines = changes(old, new).refused
    assert len(lines) == refused
    assert all(
        line.startswith("AgentPool p: is protected and would be replaced, because vmSize") for line in lines
    )


def test_when_what_is_deleted_is_protected_then_it_is_refused() -> None:
    found = diff(kept(node(POOL, "p", protect=True), pool("q")), kept())
    assert found.deleted == (urn(POOL, "p"), urn(POOL, "q"))
    assert found.refused == (
        "AgentPool p: is protected and would be deleted; keep it, or take its protection away before",
    )


def test_when_a_resource_is_renamed_with_an_alias_then_it_is_the_same_and_so_are_its_users() -> None:
    def user(of: Registration) -> Registration:
        return node("a:b:User", "u", {"pool": UNKNOWN}, property_dependencies={"pool": (of.urn,)})

    old, new = pool("old"), node(POOL, "new", pool().inputs, aliases=(urn(POOL, "other"), urn(POOL, "old")))
    aliases = {new.urn: new.aliases}
    assert not diff(kept(old, user(old)), kept(new, user(new)), aliases).any
    assert diff(kept(old), kept(new)).deleted == (old.urn,)


def test_when_others_will_tell_an_unknown_value_then_it_changes() -> None:
    def endpoint(subnet: str) -> Registration:
        uses = {"subnet": (urn("azure-native:network:Subnet", subnet),)}
        type_ = "azure-native:network:PrivateEndpoint"
        return node(type_, "pep", {"subnet": {"id": UNKNOWN}}, property_dependencies=uses)

    assert not changes(endpoint("a"), endpoint("a")).any
    (update,) = changes(endpoint("a"), endpoint("b")).updated
    (change,) = update.inputs
    assert (change.path, change.old, change.new) == (
        "subnet.id",
        "[unknown] of Subnet a",
        "[unknown] of Subnet b",
    )
    assert update.replaced_by == ("subnet.id",)


def test_when_a_resource_is_only_read_then_it_is_never_created_or_deleted() -> None:
    read = node(POOL, "p", external=True, protect=True)
    assert not diff(kept(read), kept()).any
    assert diff(kept(read), kept(pool("p"))).created == (read.urn,)


def test_when_outputs_of_the_stack_change_then_they_are_told() -> None:
    found = diff(kept(uris={"a": "x"}), kept(uris={"a": "y"}))
    assert [(one.path, one.old, one.new) for one in found.outputs] == [("uris.a", "x", "y")]


def test_when_nothing_but_versions_lines_and_aliases_differ_then_snapshots_are_equal() -> None:
    def found(version: str) -> Snapshot:
        name = default_name(version, "")
        inputs: dict[str, Value] = {"version": version, "__internal": {}}
        provider = node("pulumi:providers:random", name, inputs, version=version)
        more = {"version": version, "source": f"a.py:{version[0]}", "aliases": (version,)}
        return kept(provider, node("a:b:C", "c", {"x": 1}, provider=provider.urn, **more))

    assert found("1.2.3") == found("2.0.0-beta.1")


def test_when_a_secret_is_planted_then_no_snapshot_holds_it() -> None:
    found = node("a:b:C", "c", {"a": Secret("planted-0"), "b": "x-planted-0", "c": Secret(7)})
    text = json.dumps(kept(found, out=Secret("planted-0")))
    assert "planted" not in text
    assert found.inputs["c"] == Secret(7)
    assert "7" not in text


def test_when_changes_are_shown_then_each_has_its_line_and_they_are_counted() -> None:
    long = "same " * 20
    old = kept(pool("gone"), pool("p", text=f"{long}old"), node(POOL, "same", {"x": 1}), out="a")
    new = kept(pool("here"), pool("p", text=f"{long}new", vmSize="b"), node(POOL, "same", {"x": 2}), out="b")
    found = diff(old, new)
    assert changes_text(found, "main").splitlines() == [
        "+ create  AgentPool here",
        "- delete  AgentPool gone",
        "! replace AgentPool p",
        '    text: "... same same same same old" -> "... same same same same new"',
        '    vmSize: "a" -> "b"  (replaces)',
        "~ update  AgentPool same",
        "    x: 1 -> 2",
        '~ output  out: "a" -> "b"',
        "1 created, 1 deleted, 1 updated, 1 replaced since main",
        "Two graphs were compared: no provider was asked, so there is no drift.",
    ]
    assert changes_text(Changes(), "main").startswith("nothing changes since main\n")
    shown = json.loads(json.dumps(changes_to_json(found, "main")))
    assert shown["created"] == [urn(POOL, "here")]
    assert shown["updated"][0]["replacedBy"] == ["vmSize"]
    assert shown["updated"][1]["inputs"] == [{"path": "x", "old": 1, "new": 2}]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.yaml").write_text("name: test\nruntime: python\nstackConfigDir: stacks\n")
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks" / "Pulumi.dev.yaml").write_text("config: {}\n")
    return tmp_path


def test_when_a_snapshot_is_saved_then_it_is_read_again_from_beside_its_stack_file(project: Path) -> None:
    path = path_of(project, "dev")
    assert path == project / "stacks" / "plan.dev.json"
    with pytest.raises(ProjectError, match=r"does not exist; make it with --save"):
        load(path)
    found = snapshot(Graph("test", "dev", (pool(text="ü"), pool("q")), {"a": UNKNOWN}))
    save(found, path)
    first = path.read_text()
    assert load(path) == found
    save(snapshot(Graph("test", "dev", (pool("q"), pool(text="ü")), {"a": UNKNOWN})), path)
    assert path.read_text() == first
    path.write_text("{")
    with pytest.raises(ProjectError, match="is not JSON"):
        load(path)


def test_when_a_git_ref_is_named_then_the_snapshot_is_the_one_there(project: Path) -> None:
    def git(*words: str) -> None:
        identity = ["-c", "user.name=n", "-c", "user.email=e"]
        subprocess.run(["git", *identity, *words], cwd=project, check=True, capture_output=True)

    path = path_of(project, "dev")
    git("init", "-q")
    save(kept(pool("first")), path)
    git("add", ".")
    git("commit", "-qm", "first")
    save(kept(pool("second")), path)
    assert list(load(path, "HEAD")["resources"]) == [urn(POOL, "first")]
    assert list(load(path)["resources"]) == [urn(POOL, "second")]
    with pytest.raises(ProjectError, match=r"plan\.dev\.json at git ref `nowhere`: invalid object name"):
        load(path, "nowhere")
    with pytest.raises(ProjectError, match=r"plan\.other\.json at git ref `HEAD`"):
        load(path.with_name("plan.other.json"), "HEAD")
