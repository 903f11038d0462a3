"""What is wrong with an input, one line a mistake.

Every line names the field, the value as it was given, the rule it breaks and what to do instead, and
all mistakes of one input come together. pydantic finds most of them; `explain` turns its report into
such lines. Values of fields that hold secrets are never repeated.
"""

from __future__ import annotations

import contextlib
import copy
import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Annotated, Any, ParamSpec, Self, TypeVar, cast, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    Strict,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ErrorType

Location = tuple[int | str, ...]
T = TypeVar("T")
Model = TypeVar("Model", bound=BaseModel)
P = ParamSpec("P")
SECRET = re.compile("key|secret|password", re.IGNORECASE)
KEY_FIELDS = ("primary_key", "secondary_key")
"""Fields that hold secrets; what is spelled nearly so may hold one too."""
PRIVATE_KEY = "PRIVATE KEY-----"
Many = Annotated[tuple[T, ...], Strict(False)]
_STANDARD = frozenset(cast("tuple[str, ...]", get_args(ErrorType)))
"""pydantic's own kinds of errors; ours have a name and a text."""


class Problems(Exception):
    """An input that cannot be used; `lines` holds one line a mistake."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(lines)
        super().__init__("\n".join(self.lines))


def problem(field: str, value: object, rule: str, remedy: str) -> str:
    """`field = value: rule; remedy`, the one form of a mistake."""
    name = re.split(r"[.:]", field)[-1]
    return f"{field} = {shown(_hidden(name, value))}: {rule}; {remedy}"


def _hidden(name: str, value: object) -> object:
    """Leave out what may be a secret under a name that is not known, or in a value of another shape."""
    match value:
        case str() | list() | dict() if SECRET.search(name) or difflib.get_close_matches(name, KEY_FIELDS):
            return "[secret]"
        case str() if PRIVATE_KEY in value:
            return "[secret]"
        case dict():
            return {
                key: _hidden(str(key), inner) for key, inner in cast("dict[object, object]", value).items()
            }
        case list():
            return [_hidden(name, inner) for inner in cast("list[object]", value)]
        case _:
            return value


def shown(value: object) -> str:
    """Give a value as a stack file would write it, cut to the length of a line."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except TypeError:
        text = str(value)
    return text if len(text) <= 80 else f"{text[:76]} ..."


def nearest(word: str, words: Iterable[str]) -> str:
    """Suggest the likeliest spelling of an unknown name, or list the known ones."""
    known = sorted(words)
    if (meant := _likeliest(word, known)) is not None:
        return f"did you mean `{meant}`?"
    return f"known here: {', '.join(known)}" if len(known) <= 12 else "remove it"


def _likeliest(word: str, words: Iterable[str]) -> str | None:
    known = sorted(words)
    close = [name for name in known if name.startswith(word)] or difflib.get_close_matches(word, known)
    return close[0] if close else None


def lines_of(rule: Callable[P, Iterable[str]], *args: P.args, **kwargs: P.kwargs) -> Iterator[str]:
    """Give the lines of a rule up to where it asks for a field that is wrong itself, and so is not there.

    What would follow from such a field is no mistake of its own.
    """
    with contextlib.suppress(AttributeError):
        yield from rule(*args, **kwargs)


class Checked(BaseModel):
    """A frozen value read from what a person wrote, and refused with all of its mistakes at once.

    No unknown fields and no silent conversions: `"1"` is no number, `true` is no 1. A subclass adds rules
    across fields in `mistakes`, which are checked at every depth and even where single fields are wrong.
    Nothing is said of a wrong field twice: the rules see a value without it.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @classmethod
    def derived(cls, given: Mapping[str, object]) -> dict[str, object]:
        """Give the defaults that depend on other fields."""
        return {}

    def mistakes(self) -> list[str]:
        """Name each broken rule across fields, with its values and remedy."""
        return []

    @model_validator(mode="wrap")
    @classmethod
    def _all_at_once(cls, given: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(given, dict):
            return validate(given)
        fields = cast("dict[str, object]", given)
        if _inside.get():
            return validate(cls.derived(fields) | fields)
        errors: list[InitErrorDetails] = []
        wrong: list[Location] = []
        value: Self | None = None
        token = _inside.set(True)
        try:
            try:
                value = validate(cls.derived(fields) | fields)
            except ValidationError as error:
                found = error.errors(include_url=False)
                wrong = [details["loc"] for details in found]
                errors = [_again(details) for details in found if not _misspelt(cls, details, wrong)]
                rest = _without(cls, fields, wrong)
                with contextlib.suppress(ValidationError):  # what was taken out was needed
                    value = validate(cls.derived(rest) | rest)
        finally:
            _inside.reset(token)
        if value is not None:
            errors += [
                InitErrorDetails(
                    type=PydanticCustomError("rule", "{rule}", {"rule": rule}), loc=place, input=None
                )
                for place, rule in _rules(value, _holed(value, wrong) if wrong else value, ())
            ]
        if errors:
            raise ValidationError.from_exception_data(cls.__name__, errors)
        assert value is not None
        return value


_inside = ContextVar("_inside", default=False)
"""Whether a value is read as part of a larger one, which then looks for the mistakes."""


def _rules(value: object, right: object, place: Location) -> Iterator[tuple[Location, str]]:
    """Give each broken rule inside a value with the place of the part that has it.

    `right` is the value with the right fields alone.
    """
    match value, right:
        case Checked(), Checked():
            yield from ((place, rule) for rule in _mistakes(value, right))
            for name, item in vars(right).items():
                yield from _rules(getattr(value, name), item, (*place, name))
        case tuple(), tuple():
            pairs = zip(cast("tuple[object, ...]", value), cast("tuple[object, ...]", right), strict=True)
            for index, (item, right_item) in enumerate(pairs):
                yield from _rules(item, right_item, (*place, index))
        case _:
            pass


def _mistakes(value: Checked, right: Checked) -> list[str]:
    """Give a value's mistakes; if a rule asks for a field that is wrong, those that name no such field."""
    try:
        return right.mistakes()
    except AttributeError:
        gone = set(_gone(value, right))
        return [line for line in value.mistakes() if not gone & set(re.findall(r"\w+", line))]


def _gone(value: object, right: object) -> Iterator[str]:
    """Give the names of the fields that are wrong, at any depth."""
    match value, right:
        case Checked(), Checked():
            for name, item in vars(value).items():
                if name in vars(right):
                    yield from _gone(item, vars(right)[name])
                else:
                    yield name
        case dict(), dict():
            rights = cast("dict[object, object]", right)
            for key, item in cast("dict[object, object]", value).items():
                yield from _gone(item, rights[key])
        case _:
            pass


def _holed(value: Model, wrong: Iterable[Location]) -> Model:
    """Copy a value without its wrong fields; reading one of them raises AttributeError."""
    copied = value.model_copy(deep=True)
    for location in wrong:
        _take_out(copied, location)
    return copied


def _take_out(value: BaseModel, location: Location) -> None:
    """Take out the field that a location names, or most likely means, or that holds what it names."""
    here: object = value
    owner, name = value, ""
    for step in location:
        match here:
            case BaseModel():
                left = type(here).model_fields.keys() - here.model_fields_set
                found = step if step in type(here).model_fields else _likeliest(str(step), left)
                if found is None:
                    return  # an unknown field like no other
                owner, name = here, str(found)
                here = vars(here).get(name)
            case tuple() if isinstance(step, int):
                here = next(iter(cast("tuple[object, ...]", here)[step:]), None)
                if isinstance(here, BaseModel):
                    owner, name = here, ""
            case dict() if isinstance(found := cast("dict[object, object]", here).get(step), BaseModel):
                owner, name, here = found, "", found
            case _:
                break
    if name:
        vars(owner).pop(name, None)
    else:
        vars(owner).clear()  # an example stands for what is no model at all


def _without(
    model: type[BaseModel], given: dict[str, object], wrong: Iterable[Location]
) -> dict[str, object]:
    """Give what is left without the wrong fields."""
    rest = copy.deepcopy(given)
    for location in sorted(wrong, key=len, reverse=True):
        _leave_out(model, rest, location)
    return cast("dict[str, object]", _packed(rest))


def _leave_out(model: type[BaseModel], rest: dict[str, object], location: Location) -> None:
    """Take out what stands at a location; what is required there becomes its example."""
    owner: object = rest
    for depth, step in enumerate(location):
        _, field = _find(model, location[: depth + 1])
        match owner:
            case list() if isinstance(step, int):
                items, place = cast("list[Any]", owner), step
                inside, inner = items[place], model_in(field.annotation) if field is not None else None
                items[place] = _LEFT_OUT if inner is None else _examples(inner)
            case dict():
                items, place = cast("dict[str, Any]", owner), str(step)
                inside = items.pop(place, None)
                if field is not None and field.is_required() and field.examples:
                    items[place] = field.examples[0]
            case _:
                return
        if depth + 1 < len(location) and isinstance(inside, dict | list):
            items[place] = owner = cast("object", inside)  # pyright: ignore[reportCallIssue, reportArgumentType]
        else:
            return


_LEFT_OUT = object()
"""Stands for an item of a list until all are found, so that the others keep their places."""


def _examples(model: type[BaseModel]) -> dict[str, object]:
    required = {name: field for name, field in model.model_fields.items() if field.is_required()}
    return {name: field.examples[0] for name, field in required.items() if field.examples}


def _packed(value: object) -> object:
    """Leave out the items that are marked so."""
    match value:
        case dict():
            return {name: _packed(item) for name, item in cast("dict[str, object]", value).items()}
        case list():
            return [_packed(item) for item in cast("list[object]", value) if item is not _LEFT_OUT]
        case _:
            return value


def explain(error: ValidationError, model: type[BaseModel], at: Callable[[Location], str]) -> list[str]:
    """One line for each mistake pydantic found; `at` names a place as the user knows it."""
    return [_line(details, model, at) for details in error.errors(include_url=False)]


def _misspelt(model: type[BaseModel], details: ErrorDetails, wrong: Iterable[Location]) -> bool:
    """Tell whether a missing field stands beside an unknown one that means it."""
    *place, name = details["loc"] or ("",)
    if details["type"] != "missing":
        return False
    fields = _find(model, details["loc"])[0].model_fields
    beside = (str(other[-1]) for other in wrong if list(other[:-1]) == place and other[-1] not in fields)
    return any(_likeliest(other, fields) == name for other in beside)


def _again(details: ErrorDetails) -> InitErrorDetails:
    """Turn a mistake that was reported into one that can be raised together with others."""
    kind, text = details["type"], {"text": details["msg"]}
    if kind in _STANDARD:
        return InitErrorDetails(
            type=kind, loc=details["loc"], input=details["input"], ctx=details.get("ctx", {})
        )
    ours = PydanticCustomError("rule" if kind == "rule" else "form", "{text}", text)
    return InitErrorDetails(type=ours, loc=details["loc"], input=details["input"])


def _line(details: ErrorDetails, model: type[BaseModel], at: Callable[[Location], str]) -> str:
    place, value = at(details["loc"]), details["input"]
    owner, field = _find(model, details["loc"])
    remedy = f"give {field.description or 'another value'}" if field is not None else "give another value"
    match details["type"]:
        case "rule":  # names its fields, values and remedy itself
            return f"{place}{details['msg']}" if place.endswith(":") else f"{place}: {details['msg']}"
        case "extra_forbidden":
            remedy = nearest(str(details["loc"][-1]), owner.model_fields)
            return problem(place, value, "no such setting", remedy)
        case "missing":
            return f"{place}: is required; {remedy}"
        case _ if field is not None and "SecretStr" in str(field.annotation):
            return f"{place}: is not a text; {remedy}"
        case _:
            rule = details["msg"].removeprefix("Input ").removeprefix("String ").removeprefix("should ")
            return problem(place, value, f"must {rule[:1].lower()}{rule[1:]}", remedy)


def _find(model: type[BaseModel], location: Location) -> tuple[type[BaseModel], FieldInfo | None]:
    """Follow a location to the innermost model and field that it names."""
    owner, field = model, None
    for step in location:
        inner = model_in(field.annotation) if field is not None else None
        if inner is not None and isinstance(step, str):
            owner, field = inner, None
        if isinstance(step, str) and step in owner.model_fields:
            field = owner.model_fields[step]
    return owner, field


def model_in(annotation: object) -> type[BaseModel] | None:
    """Find the model that a field's annotation holds, if it holds one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for found in map(model_in, get_args(annotation)) if found is not None), None)
