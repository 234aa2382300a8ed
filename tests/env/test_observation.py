"""The layout of an observation: what encodes also decodes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.observation import ObservationLayout

TOPS = st.floats(1e-3, 1e6)


@given(top=TOPS, share=st.floats(0, 1))
def test_a_cost_weight_survives_the_way_through_an_observation(top: float, share: float) -> None:
    layout = ObservationLayout(2, top)
    rows = layout.encode(np.zeros((1, 2), dtype=np.float32), np.array([share * top]))
    assert rows.dtype == np.float32
    assert -1 <= rows[0, 2] <= 1
    features, weights = layout.decode(rows)
    assert features.shape == (1, 2)
    assert weights is not None
    assert weights[0] == pytest.approx(share * top, rel=1e-4, abs=1e-6 * top)


@given(top=TOPS, shares=st.lists(st.floats(0, 2), min_size=2, max_size=9))
def test_a_dearer_dollar_never_looks_cheaper(top: float, shares: list[float]) -> None:
    layout = ObservationLayout(1, top)
    seen = layout.normalise(np.sort(np.array(shares)) * top)
    assert (np.diff(seen) >= 0).all()


def test_a_fixed_cost_weight_is_not_part_of_the_observation() -> None:
    layout = ObservationLayout(3)
    assert layout.width == 3
    assert layout.encode(np.ones((2, 3), dtype=np.float32), 5.0).tolist() == [[1.0] * 3] * 2
    assert layout.decode(np.ones((2, 3), dtype=np.float32))[1] is None
    with pytest.raises(ValueError, match="not part of"):
        layout.normalise(np.zeros(1))


@pytest.mark.parametrize("top", [0.0, -1.0, float("inf"), float("nan")])
def test_a_top_that_is_no_top_is_refused(top: float) -> None:
    with pytest.raises(ValueError, match="max_cost_weight"):
        ObservationLayout(3, top)
