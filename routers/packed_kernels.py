"""What :mod:`routers.packed` compiles with numba: decisions and lessons over packed symmetric matrices.

A symmetric matrix is kept as its lower triangle, row after row, each row filled up to whole vectors of ``LANES``
numbers, so that the blocks on the diagonal are there in full (the last one as far as there are rows). Vectors are
filled up with zeros in the same way; ``n`` is how much of one is no filling. ``x' M x`` is then the inner product of
the packed ``M`` with the packed ``x x'``, which is made once for all arms: one long loop at the speed of memory, where
the rows of a triangle would be many short ones.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, TypeVar, cast

import numpy as np

from env.contexts import Floats, Ints
from routers.base import PRIOR_SCORE, Array
from routers.linear import HIGHEST_SHARE, LOWEST_SHARE, UNTRIED_SHARE

# Numbers in one vector register that every x86-64 of the last ten years has.
LANES = 8
_ZERO, _ONE, _TWO, _PRIOR = np.float32(0), np.float32(1), np.float32(2), np.float32(PRIOR_SCORE)
# What rounding may add to a standard deviation: a share of it, and an absolute part.
_SLACK, _TINY = np.float32(1.001), np.float32(1e-5)

_F = TypeVar("_F", bound=Callable[..., Any])


def compiled(function: _F) -> _F:
    """What numba makes of it, kept on disk; itself where there is no numba."""
    if find_spec("numba") is None:
        return function  # importable, though nobody makes a packed posterior then
    import numba

    # Sums may be reordered and fused; NaN and infinity keep their meaning, as they do not under plain `fastmath`.
    return cast(_F, numba.njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})(function))


@compiled
def _outer(x: Floats, form: Floats, twice: Floats, n: int) -> None:
    """Pack ``x x'`` so that its inner product with a packed matrix is the quadratic form.

    What stands left of a block on the diagonal stands for its mirror image too. ``twice`` is scratch: ``x``, doubled
    in front of the block.
    """
    for j in range(x.size):
        twice[j] = x[j]
    at = 0
    for i in range(n):
        step = i // LANES * LANES + LANES
        row, one = form[at : at + step], x[i]
        for j in range(step):
            row[j] = one * twice[j]
        at += step
        if i + 1 == step:
            for j in range(step - LANES, step):
                twice[j] += twice[j]


@compiled
def _dot(a: Floats, b: Floats) -> Any:
    total = _ZERO
    for j in range(a.size):
        total += a[j] * b[j]
    return total


@compiled
def _dots(rows: Floats, vector: Floats, products: Floats) -> None:
    """The inner product of every row with one vector; two rows at a time, so that the vector is read half as often."""
    n = len(rows)
    for k in range(0, n - 1, 2):
        r0, r1 = rows[k], rows[k + 1]
        s0, s1 = _ZERO, _ZERO
        for j in range(vector.size):
            s0 += r0[j] * vector[j]
            s1 += r1[j] * vector[j]
        products[k], products[k + 1] = s0, s1
    if n % 2:
        products[n - 1] = _dot(rows[n - 1], vector)


@compiled
def _deviation(matrix: Floats, form: Floats) -> Any:
    """``sqrt(x' M x)``; rounding may push a tiny variance below zero."""
    return np.sqrt(max(_dot(matrix, form), _ZERO))


@compiled
def _bound(constants: Floats, features: Floats, most: Any) -> Any:
    """At least ``sqrt(x' M x)``, from the last row of ``M`` alone, which is that of the constant.

    ``x = (f, 1)``, so ``x' M x = f' M_ff f + 2 m' f + m_1``; and ``f' M_ff f`` is at ``most`` what it was at the
    prior, because every observation only takes away from ``M``. The slack is for rounding.
    """
    n = features.size
    variance = most + _TWO * _dot(constants[:n], features) + constants[n]
    return np.sqrt(max(variance, _ZERO)) * _SLACK + _TINY


@compiled
def _product(matrix: Floats, x: Floats, y: Floats, above: Floats, n: int) -> None:
    """``y = M x`` of one packed matrix, which is read once; four rows at a time, so that ``x`` and ``y`` are less.

    A row counts as a row left of its block on the diagonal, and as a column everywhere: the block is symmetric.
    ``above`` is scratch: ``x`` in front of the block, 0 from there on.
    """
    for j in range(x.size):
        y[j] = above[j] = _ZERO
    at, fours = 0, n // 4 * 4
    for i in range(0, fours, 4):
        step = i // LANES * LANES + LANES
        r0, r1 = matrix[at : at + step], matrix[at + step : at + 2 * step]
        r2, r3 = matrix[at + 2 * step : at + 3 * step], matrix[at + 3 * step : at + 4 * step]
        x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        s0, s1, s2, s3 = _ZERO, _ZERO, _ZERO, _ZERO
        for j in range(step):
            before = above[j]
            s0 += r0[j] * before
            s1 += r1[j] * before
            s2 += r2[j] * before
            s3 += r3[j] * before
            y[j] += (r0[j] * x0 + r1[j] * x1) + (r2[j] * x2 + r3[j] * x3)
        y[i] += s0
        y[i + 1] += s1
        y[i + 2] += s2
        y[i + 3] += s3
        at += 4 * step
        if i + 4 == step:
            for j in range(step - LANES, step):
                above[j] = x[j]
    for i in range(fours, n):
        step = i // LANES * LANES + LANES
        row = matrix[at : at + step]
        y[i] += _dot(row, above[:step])
        for j in range(step):
            y[j] += row[j] * x[i]
        at += step


@compiled
def _learn(
    matrix: Floats,
    theta: Floats,
    count: Ints,
    total: Array,
    x: Floats,
    targets: Floats,
    spread: Floats,
    above: Floats,
) -> None:
    """What :meth:`LinearPosterior.update` does, to one arm: ``theta (3, D)``, ``count`` and ``total (3,)``."""
    n_inputs = theta.shape[1]
    _product(matrix, x, spread, above, n_inputs)
    surprise = _ONE + _dot(x, spread)
    for row in range(3):
        if np.isnan(targets[row]):
            continue
        weights = theta[row]
        centred = targets[row] - _PRIOR if row == 0 else targets[row]
        if row > 0 and count[row] == 0:
            weights[n_inputs - 1] = centred
        step = (centred - _dot(weights, x[:n_inputs])) / surprise
        for j in range(n_inputs):
            weights[j] += step * spread[j]
        count[row] += 1
        total[row] += targets[row]
    root = _ONE / np.sqrt(surprise)
    for j in range(x.size):
        spread[j] *= root
    at = 0
    for i in range(n_inputs):
        size = i // LANES * LANES + LANES
        row_cells, one = matrix[at : at + size], spread[i]
        for j in range(size):
            row_cells[j] -= one * spread[j]
        at += size


@compiled
def update(
    packed: Floats,
    theta: Floats,
    count: Ints,
    total: Array,
    arm: int,
    own: Floats,
    targets: Floats,
    x: Floats,
    spread: Floats,
    above: Floats,
) -> None:
    """Learn one observation: input ``own (D,)`` and ``targets (3,)`` of one arm."""
    x[: own.size] = own
    _learn(packed[arm], theta[:, arm], count[:, arm], total[:, arm], x, targets, spread, above)


@compiled
def _charge(
    worth: Floats, theta: Floats, count: Ints, total: Array, pulls: Ints, x: Floats, weight: Any, values: Floats
) -> None:
    """Take the weighted expected cost (or latency) of every arm off ``worth``; ``values`` is scratch."""
    n_arms = worth.size
    known, n_known = _ZERO, 0
    for k in range(n_arms):
        if count[k] > 0:
            level = np.float32(total[k] / count[k])
            values[k] = min(max(_dot(theta[k], x), LOWEST_SHARE * level), HIGHEST_SHARE * level)
            known += values[k]
            n_known += 1
    mean = known / np.float32(max(n_known, 1))
    for k in range(n_arms):
        value = values[k] if count[k] > 0 else mean
        worth[k] -= weight * (value * UNTRIED_SHARE if pulls[k] == 0 else value)


@compiled
def _first_best(worth: Floats, bonus: Floats, width: Floats) -> Any:
    """The arm of the highest ``worth + bonus * width``; of equal ones the lowest index."""
    arm, best = 0, worth[0] + bonus[0] * width[0]
    for k in range(1, worth.size):
        score = worth[k] + bonus[k] * width[k]
        if score > best:
            arm, best = k, score
    return arm


@compiled
def _best(
    packed: Floats,
    form: Floats,
    own: Floats,
    worth: Floats,
    bonus: Floats,
    width: Floats,
    cap: Any,
    hopes: Floats,
    reads: Ints,
) -> Any:
    """The arm of the highest ``worth + bonus * width``, reading the matrices only of arms that may be it.

    Arms are looked at in the order of what they may reach at best (``hopes``, scratch), until the next one's hope is
    below the best score found. ``width`` is exact for the arms looked at and :func:`_bound` for the others.
    """
    n_arms, last = len(worth), own.size - 1
    start = packed.shape[1] - (last // LANES + 1) * LANES  # the row of the constant, which is the last one
    most = cap * _dot(own[:last], own[:last])
    for k in range(n_arms):
        width[k] = _bound(packed[k, start : start + last + 1], own[:last], most)
        hopes[k] = worth[k] + max(bonus[k], _ZERO) * width[k]
    arm, best = -1, worth[0]
    while True:
        hope = int(np.argmax(hopes))
        if arm >= 0 and (hopes[hope] < best or hopes[hope] == -np.inf):
            return arm
        width[hope] = _deviation(packed[hope], form)
        reads[0] += 1
        score = worth[hope] + bonus[hope] * width[hope]
        # Of equal scores the lowest index wins, in whatever order they are looked at.
        if arm < 0 or score > best or (score == best and hope < arm):
            arm, best = hope, score
        hopes[hope] = -np.inf


@compiled
def replay(
    packed: Floats,
    theta: Floats,
    count: Ints,
    total: Array,
    features: Floats,
    weights: Floats,
    mask: Array,
    load: Floats,
    bonus: Floats,
    targets: Floats,
    worth: Floats,
    width: Floats,
    arms: Ints,
    skip: bool,
    cap: Any,
    reads: Ints,
    x: Floats,
    form: Floats,
    spread: Floats,
    above: Floats,
    values: Floats,
) -> None:
    """Row after row: believe (``worth``, ``width``), choose where there is a bonus, learn where there are targets."""
    n_arms, n_inputs = theta.shape[1], theta.shape[2]
    own, last = x[:n_inputs], n_inputs - 1
    own[last] = _ONE
    for i in range(len(features)):
        for j in range(last):
            x[j] = features[i, j]
        _dots(theta[0], own, worth[i])
        for k in range(n_arms):
            worth[i, k] += _PRIOR
        for row in range(1, 3):
            if weights[row - 1, i] != 0:
                _charge(worth[i], theta[row], count[row], total[row], count[0], own, weights[row - 1, i], values)
        if len(load) > 0 and weights[1, i] != 0:
            for k in range(n_arms):
                worth[i, k] -= weights[1, i] * load[i, k]
        for k in range(n_arms):
            if not mask[i, k]:
                worth[i, k] = -np.inf
        _outer(x, form, spread, n_inputs)
        if not skip:
            _dots(packed, form, width[i])
            for k in range(n_arms):
                width[i, k] = np.sqrt(max(width[i, k], _ZERO))
        if len(bonus) == 0:
            continue
        if skip:
            arm = _best(packed, form, own, worth[i], bonus[i], width[i], cap, values, reads)
        else:
            arm = _first_best(worth[i], bonus[i], width[i])
        arms[i] = arm
        if not np.isnan(targets[0, i, arm]):
            _learn(packed[arm], theta[:, arm], count[:, arm], total[:, arm], x, targets[:, i, arm], spread, above)
