"""Featurisers: pure functions of one prompt, inside [-1, 1], rebuilt from their config."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from env.errors import BadInput
from env.features import Concatenated, Featuriser, Hashing, PromptFacts, WordLlama, default_featuriser, from_config

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
    rows = featuriser.transform(["", " \n ", "\U0001f600", "x" * 20_000])
    assert np.isfinite(rows).all()
    assert featuriser.transform([]).shape == (0, featuriser.d)


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
        ({"kind": "facts", "version": 99}, "version 99 is asked for, 1 is here"),
        ({"kind": "concatenated", "parts": [{"kind": "facts", "version": 0}]}, "version 0 is asked for"),
    ],
)
def test_a_config_that_is_none_is_refused(config: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        from_config(config)
