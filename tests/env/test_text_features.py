"""Featurisers that are fitted on prompts: what they learn, and that it comes back whole."""

from __future__ import annotations

import numpy as np
import pytest

from env.errors import BadInput
from env.features import Featuriser, Hashing, from_config
from env.text_features import RECIPES, Ends, Form, NGrams, Reduced
from tests.conftest import needs

PROMPTS = [
    f"{verb} {n} and {n + 3}, then say {word}." for n in range(12) for verb, word in [("Add", "why"), ("Spell", "how")]
]


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_what_was_fitted_comes_back_from_config_and_arrays(recipe: str) -> None:
    needs("train", "fitting on n-grams")
    fitted = RECIPES[recipe]().fit(PROMPTS)
    again = from_config(fitted.config(), fitted.arrays())
    assert again.fingerprint == fitted.fingerprint
    np.testing.assert_array_equal(again.transform([*PROMPTS, "", "new words \ud800"]),
                                  fitted.transform([*PROMPTS, "", "new words \ud800"]))  # fmt: skip


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_a_row_does_not_hang_on_its_batch(recipe: str) -> None:
    needs("train", "fitting on n-grams")
    fitted = RECIPES[recipe]().fit(PROMPTS)
    together = fitted.transform(PROMPTS)
    assert together.shape == (len(PROMPTS), fitted.d)
    assert together.dtype == np.float32
    np.testing.assert_array_equal(np.vstack([fitted.transform([prompt]) for prompt in PROMPTS]), together)


@pytest.mark.parametrize("recipe", ["tfidf", "rich", "compact"])
def test_other_prompts_make_another_featuriser(recipe: str) -> None:
    needs("train", "fitting on n-grams")
    assert RECIPES[recipe]().fit(PROMPTS).fingerprint != RECIPES[recipe]().fit(PROMPTS[:-4]).fingerprint


def test_shared_n_grams_bring_prompts_together() -> None:
    needs("train", "fitting on n-grams")
    made = NGrams("words", 1, 2, rank=8).fit(PROMPTS)
    add, also_add, spell = made.transform(["Add 40 and 2, then say why.", "Add 7 and 9, then say why.", "Spell how."])
    assert add @ also_add > add @ spell
    np.testing.assert_allclose(np.linalg.norm(add), 1, rtol=1e-5)


def test_n_grams_of_fewer_than_two_prompts_are_unknown() -> None:
    needs("train", "fitting on n-grams")
    made = NGrams("words", 1, 1, rank=4).fit(["one two", "one three", "one four"])
    assert not made.transform(["two three four"]).any()
    assert made.transform(["one"]).any()


def test_the_form_of_training_prompts_is_centred() -> None:
    rows = Form(scale=1.0).fit(PROMPTS).transform(PROMPTS)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    assert (Form(scale=1.0).fit(PROMPTS).transform(["x" * 500]) ** 2).sum() == pytest.approx(1)


def test_ends_reads_the_end_alone() -> None:
    ends: Featuriser = Ends(Hashing(32), n=5)
    np.testing.assert_array_equal(ends.transform(["abc de fg"]), Hashing(32).transform(["de fg"]))


def test_reduced_keeps_what_varies() -> None:
    plain = Hashing(64)
    reduced = Reduced(plain, rank=20).fit(PROMPTS)
    rows, few = plain.transform(PROMPTS), reduced.transform(PROMPTS)
    kept = np.square(few - few.mean(axis=0)).sum() / np.square(rows - rows.mean(axis=0)).sum()
    assert 0.9 < kept <= 1 + 1e-5


@pytest.mark.parametrize("settings", [{"of": "lines"}, {"shortest": 0}, {"shortest": 3}, {"rank": 0}])
def test_settings_that_are_none_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="featuriser `ngrams`"):
        from_config({"kind": "ngrams", "of": "words", "shortest": 1, "longest": 2, **settings})


def test_arrays_for_what_learns_nothing_are_refused() -> None:
    with pytest.raises(BadInput, match="learns nothing"):
        from_config({"kind": "hashing", "n_features": 8}, {"mean": np.zeros(8)})
