"""The compiled posterior of the linear bandits (extra `fast`): half the memory traffic, no interpreter in the loop.

A decision is bound by reading ``A_k^-1`` of every arm, and those matrices are symmetric: only the lower triangle is
kept. ``x' M x`` is then the inner product of the packed ``M`` with the packed ``x x'``, which is made once and serves
all arms; so a decision is ``K`` inner products of long vectors, read at the speed of memory, and not a triangle of
short ones. Rows are filled up to whole vectors of ``_LANES`` numbers: the blocks on the diagonal are kept in full.

The arithmetic is that of :class:`~routers.linear.LinearPosterior`, in another order of summation; decisions agree
wherever the two best utilities differ by more than 1e-4 relative. Kernels hold the interpreter's lock, so that the
scratch arrays of one posterior serve all threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import numba
import numpy as np

from env.contexts import Contexts, Floats, Ints
from routers.base import PRIOR_SCORE, Array
from routers.linear import HIGHEST_SHARE, LOWEST_SHARE, UNTRIED_SHARE, LinearPosterior, with_constant

# Numbers in one vector register that every x86-64 of the last ten years has.
_LANES = 8
_ZERO, _ONE, _PRIOR = np.float32(0), np.float32(1), np.float32(PRIOR_SCORE)

_F = TypeVar("_F", bound=Callable[..., Any])


def _compiled(function: _F) -> _F:
    # Sums may be reordered and fused; NaN and infinity keep their meaning, as they do not under plain `fastmath`.
    return cast(_F, numba.njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})(function))


@_compiled
def _outer(x: Floats, form: Floats) -> None:
    """Pack ``x x'`` so that its inner product with a packed matrix is the quadratic form."""
    at = 0
    for i in range(x.size):
        whole = i // _LANES * _LANES
        row, block, near = form[at : at + whole], form[at + whole : at + whole + _LANES], x[whole : whole + _LANES]
        one = x[i]
        twice = one + one
        for j in range(whole):
            row[j] = twice * x[j]
        for j in range(_LANES):
            block[j] = one * near[j]
        at += whole + _LANES


@_compiled
def _deviations(packed: Floats, form: Floats, width: Floats) -> None:
    """``sqrt(x' M_k x)`` of every arm; four at a time, so that ``form`` is read a quarter as often."""
    n_arms, size = packed.shape
    k = 0
    while k + 4 <= n_arms:
        p0, p1, p2, p3 = packed[k], packed[k + 1], packed[k + 2], packed[k + 3]
        s0, s1, s2, s3 = _ZERO, _ZERO, _ZERO, _ZERO
        for j in range(size):
            s0 += p0[j] * form[j]
            s1 += p1[j] * form[j]
            s2 += p2[j] * form[j]
            s3 += p3[j] * form[j]
        width[k], width[k + 1], width[k + 2], width[k + 3] = s0, s1, s2, s3
        k += 4
    while k < n_arms:
        p0 = packed[k]
        s0 = _ZERO
        for j in range(size):
            s0 += p0[j] * form[j]
        width[k] = s0
        k += 1
    for k in range(n_arms):
        # Rounding may push a tiny variance below zero.
        width[k] = np.sqrt(max(width[k], _ZERO))


@_compiled
def _dot(a: Floats, b: Floats) -> Any:
    total = _ZERO
    for j in range(a.size):
        total += a[j] * b[j]
    return total


@_compiled
def _product(matrix: Floats, x: Floats, y: Floats) -> None:
    """``y = M x`` of one packed matrix, which is read once."""
    y[:] = _ZERO
    at = 0
    for i in range(x.size):
        whole = i // _LANES * _LANES
        row, block, near = matrix[at : at + whole], matrix[at + whole : at + whole + _LANES], y[whole : whole + _LANES]
        one, total = x[i], _ZERO
        for j in range(whole):
            total += row[j] * x[j]
            y[j] += row[j] * one
        # A block on the diagonal is symmetric: its row is its column.
        for j in range(_LANES):
            near[j] += block[j] * one
        y[i] += total
        at += whole + _LANES


@_compiled
def _learn(
    matrix: Floats, theta: Floats, count: Ints, total: Array, x: Floats, targets: Floats, spread: Floats
) -> None:
    """What :meth:`LinearPosterior.update` does, to one arm: ``theta (3, D)``, ``count`` and ``total (3,)``."""
    n_inputs = theta.shape[1]
    _product(matrix, x, spread)
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
    for i in range(x.size):
        size = i // _LANES * _LANES + _LANES
        row_cells, one = matrix[at : at + size], spread[i]
        for j in range(size):
            row_cells[j] -= one * spread[j]
        at += size


@_compiled
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


@_compiled
def _replay(
    packed: Floats,
    theta: Floats,
    count: Ints,
    total: Array,
    inputs: Floats,
    weights: Floats,
    mask: Array,
    load: Floats,
    bonus: Floats,
    targets: Floats,
    worth: Floats,
    width: Floats,
    arms: Ints,
    x: Floats,
    form: Floats,
    spread: Floats,
    values: Floats,
) -> None:
    """Row after row: believe (``worth``, ``width``), choose where there is a bonus, learn where there are targets."""
    n_arms, n_inputs = theta.shape[1], theta.shape[2]
    for i in range(len(inputs)):
        x[:n_inputs] = inputs[i]
        own = inputs[i]
        for k in range(n_arms):
            worth[i, k] = _PRIOR + _dot(theta[0, k], own)
        for row in range(1, 3):
            if weights[row - 1, i] != 0:
                _charge(worth[i], theta[row], count[row], total[row], count[0], own, weights[row - 1, i], values)
        if len(load) > 0 and weights[1, i] != 0:
            for k in range(n_arms):
                worth[i, k] -= weights[1, i] * load[i, k]
        _outer(x, form)
        _deviations(packed, form, width[i])
        for k in range(n_arms):
            if not mask[i, k]:
                worth[i, k] = -np.inf
        if len(bonus) == 0:
            continue
        best, arm = worth[i, 0] + bonus[i, 0] * width[i, 0], 0
        for k in range(1, n_arms):
            score = worth[i, k] + bonus[i, k] * width[i, k]
            if score > best:
                best, arm = score, k
        arms[i] = arm
        if not np.isnan(targets[0, i, arm]):
            _learn(packed[arm], theta[:, arm], count[:, arm], total[:, arm], x, targets[:, i, arm], spread)


class PackedPosterior(LinearPosterior):
    """A :class:`~routers.linear.LinearPosterior` whose matrices are packed triangles, with compiled arithmetic.

    Attributes:
        packed: ``(K, T)`` float32, the lower triangles in blocks, ``T`` about ``D (D + 9) / 2``.

    Args:
        n_arms: ``K``.
        n_inputs: ``D``, the constant (last) included.
        ridge: prior precision of every weight but the constant's.
    """

    def __init__(self, n_arms: int, n_inputs: int, ridge: float) -> None:
        padded = -(-n_inputs // _LANES) * _LANES
        row = np.repeat(np.arange(padded), np.arange(padded) // _LANES * _LANES + _LANES)
        column = np.concatenate([np.arange(i // _LANES * _LANES + _LANES) for i in range(padded)])
        # Cells past the last input belong to padding; they stay 0 and are read from a row and column of zeros.
        self._cells = np.minimum(row, n_inputs) * (n_inputs + 1) + np.minimum(column, n_inputs)
        self._x, self._spread = np.zeros((2, padded), dtype=np.float32)
        self._form = np.zeros(len(row), dtype=np.float32)
        self.packed = np.empty((0, len(row)), dtype=np.float32)
        super().__init__(n_arms, n_inputs, ridge)

    @property
    def inverse(self) -> Floats:
        """``(K, D, D)`` the matrices in full; a copy."""
        side = self.theta.shape[2] + 1
        full = np.empty((len(self.packed), side * side), dtype=np.float32)
        full[:, self._cells] = self.packed
        full = full.reshape(-1, side, side)[:, :-1, :-1]
        lower = np.tril(full)
        return np.asarray(lower + np.tril(full, -1).swapaxes(1, 2), dtype=np.float32)

    @inverse.setter
    def inverse(self, matrices: Floats) -> None:
        self.packed = np.stack([self._pack(matrix) for matrix in matrices])

    @property
    def n_arms(self) -> int:
        """``K``."""
        return len(self.packed)

    def believe(self, contexts: Contexts) -> tuple[Floats, Floats]:
        """Mean utility (``-inf`` where masked) and its standard deviation, each ``(n, K)``."""
        nothing = np.empty((0, 0), dtype=np.float32)
        return self._run(contexts, nothing, np.empty((3, 0, 0), dtype=np.float32))[:2]

    def replay(self, contexts: Contexts, bonus: Floats, targets: Floats) -> tuple[Floats, Floats, Ints]:
        """Choose the arm of the highest ``mean + bonus * width`` and learn its targets, row after row.

        Args:
            contexts: ``n`` rows.
            bonus: ``(n, K)``.
            targets: ``(3, n, K)``, NaN where not observed.

        Returns:
            Mean utilities and widths ``(n, K)`` as they were at the decision, and arms ``(n,)``.
        """
        return self._run(contexts, bonus, targets)

    def widths(self, inputs: Floats) -> Floats:
        """Posterior standard deviations ``(n, K)`` at inputs ``(n, D)``."""
        return self.believe(Contexts.of(inputs[:, :-1], self.n_arms))[1]

    def update(self, x: Floats, arm: int, targets: Floats) -> None:
        """Learn one observation: input ``(D,)`` and targets ``(3,)``."""
        self._x[: len(x)] = x
        _learn(
            self.packed[arm],
            self.theta[:, arm],
            self.count[:, arm],
            self.total[:, arm],
            self._x,
            np.asarray(targets, dtype=np.float32),
            self._spread,
        )

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Take back what :meth:`arrays` gave."""
        super().restore({name: np.ascontiguousarray(array) for name, array in arrays.items()})

    def _set_inverse(self, arms: Ints | slice, matrix: Array) -> None:
        self.packed[arms] = self._pack(matrix)

    def _pack(self, matrix: Array) -> Floats:
        cells: Floats = np.pad(matrix, (0, 1)).astype(np.float32).reshape(-1)[self._cells]
        return cells

    def _run(self, contexts: Contexts, bonus: Floats, targets: Floats) -> tuple[Floats, Floats, Ints]:
        shape = (len(contexts), self.n_arms)
        worth, width, values = np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape[1], np.float32)
        arms = np.empty(shape[0], dtype=np.int64)
        _replay(
            self.packed,
            self.theta,
            self.count,
            self.total,
            with_constant(contexts.features),
            np.stack([contexts.cost_weight, contexts.latency_weight]),
            np.ascontiguousarray(contexts.mask),
            np.empty((0, 0), np.float32) if contexts.load is None else np.ascontiguousarray(contexts.load),
            bonus,
            targets,
            worth,
            width,
            arms,
            self._x,
            self._form,
            self._spread,
            values,
        )
        return worth, width, arms
