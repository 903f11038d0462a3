"""A model as `models` names it: a path, or a registered name with a version."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.model import MODEL_NAME, Model, model_of

NAMES = st.from_regex(MODEL_NAME, fullmatch=True)
VERSIONS = st.integers(min_value=1, max_value=999_999_999)


@given(NAMES, VERSIONS)
def test_a_registered_model_is_read_as_it_is_written(name: str, version: int) -> None:
    model = Model(name, version)
    assert model_of(str(model)) == model
    assert model.place == f"{name}/{version}"


@given(st.lists(NAMES, min_size=1))
def test_a_path_is_a_model_by_its_last_name_and_of_version_1(parts: list[str]) -> None:
    path = "/".join(parts)
    assert model_of(path) == Model(parts[-1], 1, path)
    assert str(model_of(path)) == path


def test_a_path_that_begins_as_a_registered_name_can_be_written() -> None:
    assert model_of("./azureml:x/m.pkl") == Model("m.pkl", path="./azureml:x/m.pkl")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("azureml:m", "`azureml:m` names no version"),
        ("azureml:m@latest", "write azureml:m:VERSION, `slipway models list` shows the versions"),
        ("azureml:m:", "`` is no version"),
        ("azureml:m:latest", "`latest` is no version; give a whole number of at least 1"),
        ("azureml:m:0", "`0` is no version"),
        ("azureml:m:01", "`01` is no version"),
        ("azureml:m:1:2", "`1:2` is no version"),
        ("azureml::1", "the name `` is no model name"),
        ("azureml:a/b:1", "the name `a/b` is no model name"),
        ("azureml:" + "m" * 256 + ":1", "is no model name of v1"),
        ("folder/m odel", "the name `m odel` is no model name"),
    ],
)
def test_what_is_no_model_is_refused_with_a_remedy(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        model_of(text)
