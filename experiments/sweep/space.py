"""A search space: for some settings of a router a range or a list of values, checked before any work is done."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from env.errors import BadInput, nearest
from experiments.sweep.defaults import DEFAULT_SPACES
from routers import make, router_class

_HOW = "write NAME=LOW:HIGH, NAME=LOW:HIGH:log or NAME=VALUE,VALUE,..."
_NOT_SETTINGS = ("self", "n_arms", "n_features")
_SCALARS = (str, int, float, bool)
_TRIED_FEATURES = 8  # enough to make a router whose settings are looked at


@dataclass(frozen=True, slots=True)
class Range:
    """All numbers from ``low`` to ``high``, both included.

    Attributes:
        low: the least.
        high: the greatest.
        log: as many between 1 and 10 as between 10 and 100.
        whole: whole numbers only.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    @property
    def ends(self) -> tuple[Any, Any]:
        """The least and the greatest value."""
        return self.low, self.high


@dataclass(frozen=True, slots=True)
class Choices:
    """Some values, in no order."""

    values: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        """All of them: any may be the one that a router refuses."""
        return self.values


Dimension: TypeAlias = Range | Choices
Space: TypeAlias = dict[str, Dimension]
Given: TypeAlias = Mapping[str, str | Sequence[Any]]
"""What a caller writes: ``{"alpha": "0.1:1000:log", "k": [5, 10, 20]}``."""


def space_of(router: str, given: Given | None = None, settings: Mapping[str, Any] | None = None) -> Space:
    """The space of a router's settings; :data:`experiments.sweep.defaults.DEFAULT_SPACES` where none is given.

    Args:
        router: a name of ``routers.names()``.
        given: setting -> ``"LOW:HIGH"``, ``"LOW:HIGH:log"``, ``"VALUE,VALUE"`` or a list of values.
        settings: held still; no default space searches them.

    Raises:
        BadInput: an unknown router or setting, a range that is none, or a value that the router refuses.

    Example:
        >>> space_of("knn", {"k": "5:50:log", "predict_cost": "true,false"})
        {'k': Range(low=5, high=50, log=True, whole=True), 'predict_cost': Choices(values=(True, False))}
        >>> space_of("knn", {"q": "1:2"})
        Traceback (most recent call last):
        ...
        env.errors.BadInput: router `knn` has no setting `q`; known: k, predict_cost, tau
    """
    known = settings_of(router)
    held = dict(settings or {})
    if given is None:
        given = {name: text for name, text in DEFAULT_SPACES.get(router, {}).items() if name not in held}
        if not given:
            said = "nothing of it is searched unless told" if set(known) - set(held) else "it has no settings to tune"
            raise BadInput(f"router `{router}`: {said}{_example(known, held)}")
    for name in (*given, *held):
        _check_name(router, name, known, searched=name in given)
    for name in given:
        if name in held:
            raise BadInput(f"setting `{name}` is both searched and held at {held[name]!r}; leave one out")
    space = {name: _dimension(name, said, known[name]) for name, said in given.items()}
    if not space:
        raise BadInput(f"router `{router}`: an empty space{_example(known, held)}")
    _try_ends(router, space, held)
    return space


def settings_of(router: str) -> dict[str, str]:
    """A router's settings, and the types that its signature says they are of.

    Example:
        >>> settings_of("tfidf_knn_mean_cost")
        {'predict_cost': 'bool', 'k': 'int | None', 'tau': 'float'}
    """
    found: dict[str, str] = {}
    for kind in router_class(router).__mro__:
        if "__init__" not in vars(kind):
            continue
        parameters = inspect.signature(vars(kind)["__init__"]).parameters.values()
        for one in parameters:
            if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL) and one.name not in _NOT_SETTINGS:
                said = "" if one.annotation is one.empty else one.annotation
                found.setdefault(one.name, said if isinstance(said, str) else getattr(said, "__name__", str(said)))
        if not any(one.kind is one.VAR_KEYWORD for one in parameters):
            break  # what it does not take itself, it hands to the class above
    return found


def parse_pairs(pairs: Sequence[str]) -> dict[str, str] | None:
    """What ``--space`` was given, several times: ``None`` where it was not.

    Raises:
        BadInput: one is not ``NAME=...``, or a name stands twice.

    Example:
        >>> parse_pairs(["alpha=0.1:1000:log", "k=5,10"])
        {'alpha': '0.1:1000:log', 'k': '5,10'}
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, said = pair.partition("=")
        if not equals or not name:
            raise BadInput(f"--space {pair}: {_HOW}, for example --space alpha=0.1:1000:log")
        if name in found:
            raise BadInput(f"--space {pair}: `{name}` is given twice; put all its values into one")
        found[name] = said
    return found or None


def size(space: Space) -> int | None:
    """How many settings there are; ``None`` for more than can be counted.

    Example:
        >>> size({"k": Choices((5, 10)), "depth": Range(1, 3, whole=True)}), size({"alpha": Range(0.1, 1.0)})
        (6, None)
    """
    counts = [_values(dimension) for dimension in space.values()]
    return None if None in counts else math.prod(len(values) for values in counts if values is not None)


def every(space: Space) -> Iterator[dict[str, Any]]:
    """All settings of a space that has a :func:`size`, in order.

    Example:
        >>> list(every({"k": Choices((5, 10))}))
        [{'k': 5}, {'k': 10}]
    """
    values = [_values(dimension) or () for dimension in space.values()]
    return (dict(zip(space, one, strict=True)) for one in itertools.product(*values))


def to_json(space: Space) -> dict[str, Any]:
    """For reports and for the name of a study.

    Example:
        >>> to_json({"alpha": Range(0.1, 10.0, log=True), "k": Choices((5, None))})
        {'alpha': {'low': 0.1, 'high': 10.0, 'log': True, 'whole': False}, 'k': {'values': [5, None]}}
    """
    return {
        name: {"values": list(one.values)}
        if isinstance(one, Choices)
        else {"low": one.low, "high": one.high, "log": one.log, "whole": one.whole}
        for name, one in space.items()
    }


def _values(dimension: Dimension) -> Sequence[Any] | None:
    if isinstance(dimension, Choices):
        return dimension.values
    return range(int(dimension.low), int(dimension.high) + 1) if dimension.whole else None


def _check_name(router: str, name: str, known: Mapping[str, str], *, searched: bool) -> None:
    if name not in known:
        raise BadInput(f"router `{router}` has no setting `{name}`{nearest(name, known)}")
    if name == "seed" and searched:
        raise BadInput("the seed is no setting to search: the best one is the luckiest; leave it out")


def _dimension(name: str, said: str | Sequence[Any], kind: str) -> Dimension:
    if not isinstance(said, str):
        return _choices(name, list(said))
    if ":" in said:
        return _range(name, said, kind)
    return _choices(name, [_scalar(name, word) for word in said.split(",")])


def _range(name: str, said: str, kind: str) -> Range:
    low_text, *rest = said.split(":")
    if len(rest) not in (1, 2) or rest[1:] not in ([], ["log"]):
        raise BadInput(f"space `{name}={said}`: {_HOW}")
    low, high = _scalar(name, low_text), _scalar(name, rest[0])
    for number in (low, high):
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise BadInput(f"space `{name}={said}`: `{number}` is no number; {_HOW}")
    # What the signature says decides; of a router without annotations, how the bounds are written.
    named = kind.replace("|", " ").split()
    whole = ("int" in named and "float" not in named) or (not kind and isinstance(low, int) and isinstance(high, int))
    if whole and not (float(low).is_integer() and float(high).is_integer()):
        raise BadInput(f"space `{name}={said}`: `{name}` is a whole number; write whole bounds")
    if "bool" in named or "str" in named:
        raise BadInput(f"space `{name}={said}`: `{name}` is {kind}, which has no range; write {name}=VALUE,VALUE")
    if not low < high:
        raise BadInput(f"space `{name}={said}`: {low} is not below {high}; write the lower bound first")
    is_log = len(rest) == 2
    if is_log and low <= 0:
        raise BadInput(f"space `{name}={said}`: a logarithm needs bounds above 0; raise {low}, or leave :log out")
    number_of = int if whole else float
    return Range(number_of(low), number_of(high), is_log, whole)


def _choices(name: str, values: Sequence[Any]) -> Choices:
    for value in values:
        if value is not None and not isinstance(value, _SCALARS):
            raise BadInput(f"space `{name}`: {value!r} is no single value; {_HOW}")
    if any(values.index(value) != at for at, value in enumerate(values)):
        raise BadInput(f"space `{name}`: a value stands twice; leave one out")
    if len(values) < 2:
        held = f"--set {name}={values[0]}" if values else f"--set {name}=VALUE"
        raise BadInput(f"space `{name}`: one value leaves nothing to search; hold it with {held}, or give more")
    return Choices(tuple(values))


def _scalar(name: str, text: str) -> Any:
    """A word as YAML reads it; also ``1e-3``, which YAML takes for text."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise BadInput(f"space `{name}`: `{text}` cannot be read; {_HOW}") from None
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    if value is None and text.strip() not in ("null", "~"):
        raise BadInput(f"space `{name}`: an empty value; {_HOW}")
    return value


def _try_ends(router: str, space: Space, held: Mapping[str, Any]) -> None:
    """Make the router with both ends of every range and every listed value; refuse what it refuses."""
    middle = {name: one.ends[0] for name, one in space.items()}
    for name, one in space.items():
        for value in one.ends:
            try:
                make(router, 2, _TRIED_FEATURES, **held, **{**middle, name: value})
            except BadInput as error:
                raise BadInput(f"space `{name}`: {error}") from None


def _example(known: Mapping[str, str], held: Mapping[str, Any]) -> str:
    free = [name for name in known if name not in held and name != "seed"]
    return f"; say what, as in --space {free[0]}=..., of: {', '.join(free)}" if free else ""
