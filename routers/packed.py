"""The compiled posterior of the linear bandits (extra `fast`): half the memory traffic, no interpreter in the loop.

A decision is bound by reading ``A_k^-1`` of every arm. Those matrices are symmetric, so only their lower triangles are
kept (:mod:`routers.packed_kernels`), and arms that cannot be the best need not be read at all.

The arithmetic is that of :class:`~routers.linear.LinearPosterior`, in another order of summation; decisions agree
wherever the two best utilities differ by more than 1e-4 relative. Kernels hold the interpreter's lock, so that the
scratch arrays of one posterior serve all threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from env.contexts import Contexts, Floats, Ints
from routers import packed_kernels as kernels
from routers.base import Array
from routers.linear import LinearPosterior
from routers.packed_kernels import LANES

_LINE = 64  # bytes in a cache line
_MANY = 100  # rows from which on a matrix product pays for unpacking what it multiplies
_NO_TABLE, _NO_TARGETS = np.empty((0, 0), dtype=np.float32), np.empty((3, 0, 0), dtype=np.float32)


class PackedPosterior(LinearPosterior):
    """A :class:`~routers.linear.LinearPosterior` whose matrices are packed triangles, with compiled arithmetic.

    Attributes:
        packed: ``(K, T)`` float32, the lower triangles in blocks, ``T`` about ``D (D + 8) / 2``.
        reads: ``(1,)`` how many matrices were read for decisions that may skip some.

    Args:
        n_arms: ``K``.
        n_inputs: ``D``, the constant (last) included.
        ridge: prior precision of every weight but the constant's.
    """

    compiled: ClassVar[bool] = True

    def __init__(self, n_arms: int, n_inputs: int, ridge: float) -> None:
        padded = -(-n_inputs // LANES) * LANES
        row = np.repeat(np.arange(n_inputs), np.arange(n_inputs) // LANES * LANES + LANES)
        column = np.concatenate([np.arange(i // LANES * LANES + LANES) for i in range(n_inputs)])
        # Columns past the last input are filling; they stay 0 and are read from a column of zeros.
        self._cells = row * (n_inputs + 1) + np.minimum(column, n_inputs)
        self._x, self._spread, self._above = (aligned(padded) for _ in range(3))
        self._form = aligned(len(row))
        self.packed = aligned(0, len(row))
        self.reads = np.zeros(1, dtype=np.int64)
        self._given: Floats | None = None
        super().__init__(n_arms, n_inputs, ridge)
        self._widest = np.float32(1 / self._precision[0])  # the variance of a weight before anything is known

    @property
    def inverse(self) -> Floats:
        """``(K, D, D)`` the matrices in full; a copy."""
        if self._given is not None:
            return self._given.copy()
        side = self.theta.shape[2] + 1
        full = np.empty((len(self.packed), side * side), dtype=np.float32)
        full[:, self._cells] = self.packed
        full = full.reshape(-1, side, side)[:, :-1, :-1]
        # Each cell from the lower triangle as it is: a sum of two triangles would lose the sign of a zero.
        below = np.tri(side - 1, dtype=bool)
        return np.where(below, full, full.swapaxes(1, 2))

    @inverse.setter
    def inverse(self, matrices: Floats) -> None:
        self.packed = aligned(len(matrices), len(self._cells))
        for row, matrix in zip(self.packed, matrices, strict=True):
            row[:] = self._pack(matrix)
        # Until something is learned, a saved policy gives back the very bits it was made of, whatever made them.
        self._given = matrices

    @property
    def n_arms(self) -> int:
        """``K``."""
        return len(self.packed)

    def believe(self, contexts: Contexts) -> tuple[Floats, Floats]:
        """Mean utility (``-inf`` where masked) and its standard deviation, each ``(n, K)``."""
        if len(contexts) >= _MANY:
            return super().believe(contexts)
        return self._run(contexts, _NO_TABLE, _NO_TARGETS, False)[:2]

    def replay(
        self, contexts: Contexts, bonus: Floats, targets: Floats, *, skip: bool = False
    ) -> tuple[Floats, Floats, Ints]:
        """As :meth:`LinearPosterior.replay`; ``skip`` leaves out the matrices of arms that cannot be the best."""
        self._given = None
        return self._run(contexts, bonus, targets, skip)

    def widths(self, inputs: Floats) -> Floats:
        """Posterior standard deviations ``(n, K)`` at inputs ``(n, D)``."""
        if len(inputs) >= _MANY:
            return super().widths(inputs)
        return self.believe(Contexts.of(inputs[:, :-1], self.n_arms))[1]

    def update(self, x: Floats, arm: int, targets: Floats) -> None:
        """Learn one observation: input ``(D,)`` and targets ``(3,)``."""
        self._given = None
        kernels.update(
            self.packed,
            self.theta,
            self.count,
            self.total,
            arm,
            x,
            targets,
            self._x,
            self._spread,
            self._above,
        )

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Take back what :meth:`arrays` gave."""
        super().restore({name: np.ascontiguousarray(array) for name, array in arrays.items()})

    def _set_inverse(self, arms: Ints | slice, matrix: Array) -> None:
        self._given = None
        self.packed[arms] = self._pack(matrix)

    def _pack(self, matrix: Array) -> Floats:
        cells: Floats = np.pad(matrix, (0, 1)).astype(np.float32).reshape(-1)[self._cells]
        return cells

    def _run(self, contexts: Contexts, bonus: Floats, targets: Floats, skip: bool) -> tuple[Floats, Floats, Ints]:
        shape = (len(contexts), self.n_arms)
        weights = np.empty((2, shape[0]), dtype=np.float32)
        weights[0], weights[1] = contexts.cost_weight, contexts.latency_weight
        worth, width, values = np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape[1], np.float32)
        arms = np.empty(shape[0], dtype=np.int64)
        kernels.replay(
            self.packed,
            self.theta,
            self.count,
            self.total,
            _own(contexts.features),
            weights,
            _own(contexts.mask),
            _NO_TABLE if contexts.load is None else _own(contexts.load),
            bonus,
            targets,
            worth,
            width,
            arms,
            skip,
            self._widest,
            self.reads,
            self._x,
            self._form,
            self._spread,
            self._above,
            values,
        )
        return worth, width, arms


def _own(array: Array) -> Array:
    """The array, or a copy if it is a view or read-only: for each such kind all would be compiled once more."""
    return array if array.flags.c_contiguous and array.flags.writeable else array.copy()


def aligned(*shape: int) -> Floats:
    """Zeros that begin where a cache line does: a vector that straddles two lines is read twice.

    Example:
        >>> aligned(3, 5).ctypes.data % 64
        0
    """
    size = int(np.prod(shape)) * 4
    room = np.zeros(size + _LINE, dtype=np.uint8)
    start = -room.ctypes.data % _LINE
    return room[start : start + size].view(np.float32).reshape(shape)
