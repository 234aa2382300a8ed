"""What a log supports, and why an estimate is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.ope.logs import BanditLog
from experiments.ope.overlap import effective_sample_size, overlap


def log_of(law: np.ndarray, n: int = 4000, seed: int = 0, **changes) -> BanditLog:
    """Choices drawn from one law ``(K,)`` for all."""
    rng = np.random.default_rng(seed)
    arms = rng.choice(len(law), size=n, p=law)
    given = {"actions": arms, "rewards": rng.random(n), "propensities": law[arms], **changes}
    return BanditLog.of([f"arm{k}" for k in range(len(law))], **given)


def spread(law: list[float], n: int = 4000) -> np.ndarray:
    return np.tile(law, (n, 1))


def test_the_same_policy_overlaps_with_itself() -> None:
    found = overlap(log_of(np.array([0.3, 0.7])), spread([0.3, 0.7]))
    assert found.ess == pytest.approx(4000)
    assert (found.mean_weight, found.max_weight, found.unsupported) == (1.0, 1.0, 0.0)
    assert found.refusal is None
    assert found.caveats == ()


def test_the_figures_by_hand() -> None:
    log = BanditLog.of(["a", "b"], actions=[0, 0, 1, 1], rewards=[0, 0, 1, 1], propensities=[0.5, 0.5, 0.25, 0.25])
    found = overlap(log, np.tile([0.25, 0.75], (4, 1)))  # weights .5, .5, 3, 3
    assert found.ess == pytest.approx(49 / 18.5)
    assert found.mean_weight == pytest.approx(1.75)
    assert found.max_weight == 3
    assert found.quantiles[0.5] == pytest.approx(1.75)
    assert any("below 200" in caveat for caveat in found.caveats)
    assert found.to_json()["quantiles"]["0.5"] == pytest.approx(1.75)


def test_a_deterministic_log_says_nothing_of_another_policy() -> None:
    log = log_of(np.array([0.5, 0.5]), propensities=np.ones(4000))
    found = overlap(log, spread([0.5, 0.5]))
    assert found.refusal is not None
    assert found.refusal.startswith("every propensity is 1: whoever logged never explored, and 50 % of the decisions")
    assert "\n" not in found.refusal


def test_a_deterministic_log_tells_of_the_same_policy() -> None:
    log = log_of(np.array([0.5, 0.5]), propensities=np.ones(4000))
    same = (np.arange(2) == log.actions[:, None]).astype(float)
    assert overlap(log, same).refusal is None


def test_choices_that_were_certain_now_and_then_are_told_apart() -> None:
    log = log_of(np.array([0.5, 0.5]), propensities=np.where(np.arange(4000) < 1000, 1.0, 0.5))
    found = overlap(log, spread([0.0, 1.0]))
    assert found.refusal is not None
    assert "would differ from choices that were certain" in found.refusal


def test_an_arm_that_was_never_chosen_is_named() -> None:
    found = overlap(log_of(np.array([0.5, 0.5, 0.0])), spread([0.2, 0.3, 0.5]))
    assert (
        found.refusal
        == "50 % of the decisions would go to `arm2`, which the log never chose; log with some exploration"
    )
    assert overlap(log_of(np.array([0.5, 0.5, 0.0])), spread([0.5, 0.5, 0.0])).refusal is None


def test_an_arm_that_was_not_available_has_no_support() -> None:
    mask = np.ones((4000, 2), dtype=bool)
    log = log_of(np.array([0.5, 0.5]))
    mask[log.actions == 0, 1] = False
    log = log_of(np.array([0.5, 0.5]), mask=mask)
    found = overlap(log, spread([0.0, 1.0]))
    assert found.refusal is not None
    assert "would go to arms that were not available" in found.refusal


def test_a_little_without_support_is_a_caveat() -> None:
    found = overlap(log_of(np.array([0.5, 0.5, 0.0])), spread([0.5, 0.495, 0.005]))
    assert found.refusal is None
    assert any(caveat.startswith("0.5 % of the decisions lie where the log could not go") for caveat in found.caveats)


def test_propensities_that_were_not_the_law_are_doubted() -> None:
    honest = log_of(np.array([0.5, 0.5]))
    assert not overlap(honest, spread([0.2, 0.8])).caveats
    wrong = log_of(np.array([0.5, 0.5]), propensities=np.full(4000, 0.8))
    assert any("should average 1" in caveat for caveat in overlap(wrong, spread([0.2, 0.8])).caveats)


def test_a_log_without_one_decision_of_the_target_is_refused() -> None:
    log = BanditLog.of(["a", "b"], actions=[0, 1], rewards=[0.0, 1.0], propensities=[0.5, 0.5])
    found = overlap(log, np.array([[0.0, 1.0], [1.0, 0.0]]))
    assert found.refusal is not None
    assert found.refusal.startswith("not one decision of the log is one that the policy could have made")


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.floats(0.1, 100))
def test_effective_size_is_between_none_and_all_and_has_no_unit(weights: list[float], factor: float) -> None:
    values = np.array(weights)
    size = effective_sample_size(values)
    assert 0 <= size <= len(values) * (1 + 1e-9)
    if values.max() > 1e-3:
        assert size >= 1 - 1e-9
        assert effective_sample_size(values * factor) == pytest.approx(size)
