"""Checkers for routing environments: Gymnasium's own, and the rules of a bandit on top. Run them on yours."""

from __future__ import annotations

from env.checkers.single import check_trace_env
from env.checkers.vector import check_vector_env

__all__ = ["check_trace_env", "check_vector_env"]
