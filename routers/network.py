"""Small networks as plain arrays: two tanh layers, from what is observed of a query to a number for each arm."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np

from env.contexts import Floats
from routers.least_squares import Doubles

Network: TypeAlias = dict[str, Floats]
"""``<layer>_weights`` ``(inputs, outputs)`` and ``<layer>_bias`` ``(outputs,)`` of each of the ``LAYERS``."""

LAYERS = ("hidden_1", "hidden_2", "logits")


def blank(n_inputs: int, hidden: int, n_outputs: int) -> Network:
    """A network that says 0 to everything."""
    widths = (n_inputs, hidden, hidden, n_outputs)
    arrays: Network = {}
    for at, layer in enumerate(LAYERS):
        arrays[f"{layer}_weights"] = np.zeros((widths[at], widths[at + 1]), dtype=np.float32)
        arrays[f"{layer}_bias"] = np.zeros(widths[at + 1], dtype=np.float32)
    return arrays


def activations(network: Network, rows: Floats) -> tuple[Floats, Floats, Floats]:
    """What both hidden layers ``(n, hidden)`` and the last one ``(n, K)`` say to rows ``(n, inputs)``."""
    first = np.tanh(rows @ network["hidden_1_weights"] + network["hidden_1_bias"])
    second = np.tanh(first @ network["hidden_2_weights"] + network["hidden_2_bias"])
    return first, second, second @ network["logits_weights"] + network["logits_bias"]


def logits(network: Network, rows: Floats) -> Floats:
    """``(n, K)`` outputs for rows ``(n, inputs)``.

    Example:
        >>> logits(blank(2, 4, 3), np.ones((1, 2), dtype=np.float32)).tolist()
        [[0.0, 0.0, 0.0]]
    """
    return activations(network, rows)[-1]


def softmax(scores: Floats) -> Doubles:
    """``(n, K)`` float64 law of each row of logits; exactly 0 where they are ``-inf``.

    Example:
        >>> softmax(np.array([[0.0, 0.0, -np.inf]])).tolist()
        [[0.5, 0.5, 0.0]]
    """
    exponent = np.exp(scores.astype(np.float64) - scores.max(axis=1, keepdims=True))
    return np.asarray(exponent / exponent.sum(axis=1, keepdims=True), dtype=np.float64)


def exported(modules: Iterable[Any]) -> Network:
    """Three linear layers of torch as arrays."""
    arrays: Network = {}
    for layer, module in zip(LAYERS, modules, strict=True):
        arrays[f"{layer}_weights"] = module.weight.detach().numpy().T.copy()
        arrays[f"{layer}_bias"] = module.bias.detach().numpy().copy()
    return arrays
