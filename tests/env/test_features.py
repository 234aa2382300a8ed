"""Featurisers: pure functions of one prompt, inside [-1, 1], rebuilt from their config."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from env.errors import BadInput
from env.features import (
    READS,
    Concatenated,
    Featuriser,
    Hashing,
    PromptFacts,
    WordLlama,
    default_featuriser,
    from_config,
)

ALL: list[Featuriser] = [WordLlama(), Hashing(32), PromptFacts(), Concatenated([Hashing(16), PromptFacts()])]
NAMES = [featuriser.kind for featuriser in ALL]
prompts = st.lists(st.text(max_size=40), min_size=1, max_size=6)


@pytest.mark.parametrize("featuriser", ALL, ids=NAMES)
@given(batch=prompts)
@settings(max_examples=30, deadline=None)
def test_a_row_does_not_depend_on_its_neighbours(featuriser: Featuriser, batch: list[str]) -> None:
    rows = featuriser.transform(batch)
    assert rows.shape == (len(batch), featuriser.d)
    assert rows.dtype == np.float32
    for row, prompt in zip(rows, batch, strict=True):
        assert np.array_equal(featuriser.transform([prompt])[0], row), "to the last bit: the server decides one by one"


@pytest.mark.parametrize("featuriser", ALL, ids=NAMES)
@given(batch=prompts)
@settings(max_examples=30, deadline=None)
def test_features_fit_an_observation(featuriser: Featuriser, batch: list[str]) -> None:
    assert (np.abs(featuriser.transform(batch)) <= 1 + 1e-6).all()


@pytest.mark.parametrize("featuriser", ALL, ids=NAMES)
def test_the_config_rebuilds_the_same_featuriser(featuriser: Featuriser) -> None:
    again = from_config(json.loads(json.dumps(featuriser.config())))
    assert again.fingerprint == featuriser.fingerprint
    assert np.array_equal(again.transform(["What is 2 + 2?"]), featuriser.transform(["What is 2 + 2?"]))


@pytest.mark.parametrize("featuriser", ALL, ids=NAMES)
def test_odd_prompts_are_featurised(featuriser: Featuriser) -> None:
    rows = featuriser.transform(["", " \n ", "\U0001f600", "\ud83d half a pair", "x" * 20_000])
    assert np.isfinite(rows).all()
    assert featuriser.transform([]).shape == (0, featuriser.d)


@pytest.mark.parametrize("featuriser", ALL, ids=NAMES)
def test_of_a_long_prompt_only_both_ends_are_read(featuriser: Featuriser) -> None:
    start, end = "Translate this. " * 500, "Is it 12.5 or 13? " * 500
    rows = featuriser.transform([start + middle * 2_000 + end for middle in ("lorem ", "{7}: \n", "IPSUM ")])
    assert np.array_equal(rows[0], rows[1]) and np.array_equal(rows[0], rows[2])
    others = featuriser.transform(["lorem " * 2_000 + end, start + "lorem " * 2_000])
    assert not np.array_equal(rows[0], others[0]) and not np.array_equal(rows[0], others[1])


@pytest.mark.parametrize("featuriser", ALL, ids=NAMES)
def test_a_prompt_is_read_whole_up_to_the_cap(featuriser: Featuriser) -> None:
    half = READS // 2
    whole = "sun and rain. ".ljust(half, "x") + "The answer: 42 (JSON)!".ljust(half, "y")
    assert len(whole) == READS
    changed = whole[: half + 12] + "B7" + whole[half + 14 :]
    assert not np.array_equal(featuriser.transform([whole]), featuriser.transform([changed]))


def test_the_length_of_a_long_prompt_is_still_known() -> None:
    twice = PromptFacts().transform(["a b " * 4_200, "a b " * 5_000])
    assert twice[0, 0] < twice[1, 0], "what a call costs hangs on it"


@pytest.mark.parametrize("featuriser", ALL, ids=NAMES)
def test_the_config_says_how_much_is_read(featuriser: Featuriser) -> None:
    config = featuriser.config()
    for part in config.get("parts", [config]):
        assert part["reads"] == READS
        with pytest.raises(BadInput, match=f"reads 99 is asked for, {READS} is here"):
            from_config({**part, "reads": 99})


def test_other_settings_are_another_featuriser() -> None:
    fingerprints = {featuriser.fingerprint for featuriser in [*ALL, Hashing(64), default_featuriser()]}
    assert len(fingerprints) == len(ALL) + 2


def test_the_default_tells_prompts_apart_by_meaning() -> None:
    rows = WordLlama().transform(["Add 3 and 4.", "What is the sum of 5 and 9?", "I loved this film!"])
    likeness = rows @ rows.T
    assert likeness[0, 1] > likeness[0, 2]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"kind": "hashnig"}, "did you mean `hashing`"),
        ({}, "unknown featuriser ``"),
        ({"kind": "hashing", "n_feature": 3}, "featuriser `hashing`: .*n_feature"),
        ("hashing", "featuriser: .*`kind`"),
        ({"kind": ["hashing"]}, "unknown featuriser"),
        ({"kind": "hashing", "version": 1}, "version 1 is asked for, None is here"),
        ({"kind": "hashing", "n_features": 8.0}, "n_features is 8.0"),
        ({"kind": "hashing", "n_features": 0}, "n_features is 0"),
        ({"kind": "concatenated", "parts": "facts"}, "featuriser: .*`kind`"),
        ({"kind": "concatenated", "parts": 3}, "featuriser `concatenated`: .*int"),
        ({"kind": "facts", "version": 99}, "version 99 is asked for, 1 is here"),
        ({"kind": "concatenated", "parts": [{"kind": "facts", "version": 0}]}, "version 0 is asked for"),
    ],
)
def test_a_config_that_is_none_is_refused(config: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        from_config(config)


@given(prompt=st.text(min_size=1, max_size=200))
@settings(max_examples=60, deadline=None)
def test_pooling_is_that_of_the_model_to_the_last_bit(prompt: str) -> None:
    featuriser = WordLlama()
    own = np.empty(featuriser.d, dtype=np.float32)
    featuriser._pool(prompt.encode(errors="replace").decode(), own)
    assert np.array_equal(own, featuriser._model.embed([prompt.encode(errors="replace").decode()])[0])
