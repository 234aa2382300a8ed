"""Search spaces: what is written, what is meant, and what is refused before any work."""

from __future__ import annotations

import pytest

import routers
from env.errors import BadInput
from experiments.sweep.defaults import DEFAULT_SPACES
from experiments.sweep.space import Choices, Range, every, parse_pairs, settings_of, size, space_of
from tests.conftest import needs

# What these are asked to do is a decision (a budget, an arm), or there is nothing to set.
WITHOUT = {"random", "round_robin", "fixed", "zero", "zero_cost", "budget", "affinity", "max_cost", "quality_floor"}


@pytest.mark.parametrize("router", routers.names())
def test_every_router_has_a_default_space_or_is_known_to_have_none(router: str) -> None:
    if router in WITHOUT:
        with pytest.raises(BadInput, match=f"router `{router}`: (nothing of it is searched|it has no settings)"):
            space_of(router)
        return
    if router in ("ppo", "a2c", "dqn", "barp"):
        needs("train", router)
    space = space_of(router)
    assert set(space) == set(DEFAULT_SPACES[router]) <= set(settings_of(router))


def test_default_spaces_are_of_routers_that_exist() -> None:
    assert set(DEFAULT_SPACES) <= set(routers.names())


def test_a_range_is_whole_where_the_setting_is() -> None:
    assert space_of("knn", {"k": "5:50"})["k"] == Range(5, 50, whole=True)
    assert space_of("ridge", {"alpha": "1:100"})["alpha"] == Range(1.0, 100.0)
    assert space_of("ridge", {"alpha": "1e-3:1e3:log"})["alpha"] == Range(0.001, 1000.0, log=True)


def test_values_are_read_as_set_reads_them() -> None:
    assert space_of("knn", {"k": "null,5", "predict_cost": "true,false"}) == {
        "k": Choices((None, 5)),
        "predict_cost": Choices((True, False)),
    }
    assert space_of("knn", {"k": [5, 10]}) == space_of("knn", {"k": "5,10"})


def test_settings_held_still_leave_the_default_space() -> None:
    assert "predict_cost" not in space_of("ridge", settings={"predict_cost": False})


def test_a_small_space_is_counted_and_listed() -> None:
    space = space_of("knn", {"k": "5,10", "predict_cost": "true,false"})
    assert size(space) == 4 == len(list(every(space)))
    assert size(space_of("knn", {"tau": "1:2"})) is None


@pytest.mark.parametrize(
    ("router", "given", "said"),
    [
        ("ridge", {"alpah": "1:2"}, "no setting `alpah`; did you mean `alpha`"),
        ("rigde", {"alpha": "1:2"}, "unknown router `rigde`; did you mean `ridge`"),
        ("ridge", {"alpha": "2:1"}, "2 is not below 1"),
        ("ridge", {"alpha": "0:1:log"}, "a logarithm needs bounds above 0"),
        ("ridge", {"alpha": "1:2:lgo"}, "NAME=LOW:HIGH:log"),
        ("ridge", {"alpha": "1:many"}, "`many` is no number"),
        ("ridge", {"alpha": "1:.inf"}, "`inf` is no number"),
        ("ridge", {"alpha": "true:2"}, "`True` is no number"),
        ("ridge", {"alpha": "-1:1"}, "alpha is -1.0; it must be 0 or more"),
        ("knn", {"k": "0.5:3"}, "write whole bounds"),
        ("knn", {"k": "0,5"}, "k is 0; it must be 1 or more"),
        ("knn", {"k": "5"}, "hold it with --set k=5"),
        ("knn", {"k": "5,5"}, "a value stands twice"),
        ("knn", {"k": "5,,6"}, "an empty value"),
        ("knn", {"k": []}, "nothing to search"),
        ("knn", {"k": [[5], 6]}, r"\[5\] is no single value"),
        ("knn", {"k": "[5,6"}, "cannot be read"),
        ("knn", {"predict_cost": "0:1"}, "has no range"),
        ("clusters", {"seed": "0:9"}, "the best one is the luckiest"),
        ("knn", {}, "an empty space"),
    ],
)
def test_a_bad_space_is_one_line_with_the_mend(router: str, given: dict[str, str], said: str) -> None:
    with pytest.raises(BadInput, match=said) as refused:
        space_of(router, given)
    assert "\n" not in str(refused.value)


def test_searched_and_held_at_once_is_refused() -> None:
    with pytest.raises(BadInput, match="both searched and held at 5"):
        space_of("knn", {"k": "5:9"}, {"k": 5})


@pytest.mark.parametrize("pair", ["alpha", "=1:2"])
def test_a_pair_that_is_none_is_refused(pair: str) -> None:
    with pytest.raises(BadInput, match="for example --space"):
        parse_pairs([pair])


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(BadInput, match="`k` is given twice"):
        parse_pairs(["k=1:2", "k=5,6"])
