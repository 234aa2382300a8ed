"""A policy: featuriser, router and dial together. The one thing that is evaluated, saved and served."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from env.arms import Arm
from env.contexts import Contexts, Queries
from env.errors import BadInput
from env.features import Featuriser, from_config
from env.reward import DialMap, Reward
from routers import make, router_class
from routers.base import Decision, Estimator, Router, RouterState, certain, sample, uniform
from routers.bundle import POLICY_FILE, bundle_version, read_bundle, write_bundle

if TYPE_CHECKING:
    from routers.plan import Plan

DEFAULT_DIAL = 0.5
# For decisions of which only the scores and the law are used: what is drawn from it decides nothing.
_ASIDE = np.random.default_rng(0)
_OTHER = {"router": "plan", "plan": "router"}
_MENDS = {
    "plan": "it makes several calls for one request: read it with pointsman.load_policy, or train a router to serve",
    "router": "read it with Policy.load",
}
_FEATURISER = "featuriser."  # before the names of arrays in a bundle that the featuriser learned


class Bundled:
    """What a policy and a :class:`~routers.plan_policy.PlanPolicy` share: arms, featuriser, dial, and the bundle.

    Attributes:
        arms: the ``K`` arms, in order.
        featuriser: makes what is decided on.
        reward: the weights used where no dial is given; its latency weight always applies.
        dial_map: from the dial to a cost weight.
        metrics: what was reached on validation data, for the record.
    """

    __slots__ = ()
    arms: tuple[Arm, ...]
    featuriser: Featuriser
    reward: Reward
    dial_map: DialMap
    metrics: Mapping[str, Any]

    kind: ClassVar[str]
    """How a bundle names what decides: ``router`` or ``plan``."""

    @property
    @abstractmethod
    def decider(self) -> Router | Plan:
        """What decides."""

    @property
    def name(self) -> str:
        """Of what decides."""
        return self.decider.name

    def _check(self) -> None:
        if len(self.arms) != self.decider.n_arms:
            raise ValueError(f"{len(self.arms)} arms for a {self.kind} over {self.decider.n_arms}")
        if len(set(self.arm_names)) != len(self.arms):
            raise ValueError("two arms share a name")

    @property
    def arm_names(self) -> tuple[str, ...]:
        """Names of the arms, in order."""
        return tuple(arm.name for arm in self.arms)

    @property
    def version(self) -> str:
        """Twelve hex digits that name exactly this policy: its settings and all it learned."""
        return bundle_version(self._description(), self._arrays())

    def contexts(
        self,
        queries: Queries | Sequence[str],
        *,
        dial: float | NDArray[Any] | None = None,
        cost_weight: float | NDArray[Any] | None = None,
        load: NDArray[Any] | None = None,
        mask: NDArray[Any] | None = None,
    ) -> Contexts:
        """Contexts of some queries.

        Args:
            queries: ``n`` queries, or their prompts. Features that came with them are used only if they are
                this policy's own (equal fingerprints).
            dial: 0 (cheapest) to 1 (best), one or ``(n,)``; ``DEFAULT_DIAL`` when nothing is given.
            cost_weight: score points per dollar instead of a dial.
            load: expected wait in seconds, ``(K,)`` or ``(n, K)``.
            mask: True where an arm may be chosen, ``(K,)`` or ``(n, K)``.

        Raises:
            ValueError: both dial and cost weight, a dial outside [0, 1], or a row with no arm allowed.
            BadInput: queries with neither text nor this policy's features.
        """
        if dial is not None and cost_weight is not None:
            raise ValueError("give a dial or a cost weight, not both")
        asked = queries if isinstance(queries, Queries) else Queries.of(queries)
        if cost_weight is None:
            cost_weight = self.dial_map(DEFAULT_DIAL if dial is None else dial)
        return Contexts.of(
            self._features(asked),
            len(self.arms),
            cost_weight=cost_weight,
            latency_weight=self.reward.latency_weight,
            mask=mask,
            load=load,
            task=asked.task,
        )

    def _features(self, queries: Queries) -> NDArray[np.float32]:
        if queries.features is not None and queries.featuriser == self.featuriser.fingerprint:
            return queries.features
        missing = [row for row, prompt in enumerate(queries.prompts) if prompt is None]
        if missing:
            raise BadInput(
                f"query {missing[0]} has no prompt, and its features were made by {queries.featuriser or 'nothing'}, "
                f"not by this policy's {self.featuriser.fingerprint}"
            )
        return self.featuriser.transform(list(queries.prompts))

    def save(self, folder: str | Path) -> Path:
        """Write the bundle (see ``routers.bundle``)."""
        document = {
            **self._description(),
            "version": self.version,
            "metrics": dict(self.metrics),
            "versions": {"pointsman": _installed("pointsman"), "numpy": np.__version__},
        }
        return write_bundle(folder, document, self._arrays())

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a bundle; it decides as it did where it was trained.

        Raises:
            BadInput: not a bundle, of the other kind, altered, of an unknown format, or made with a featuriser that
                is not the one installed here.
        """
        document, arrays = read_bundle(folder)
        if cls.kind not in document and (other := _OTHER[cls.kind]) in document:
            raise BadInput(
                f"{folder}: holds the {other} `{document[other]['name']}`, not a {cls.kind}; {_MENDS[other]}"
            )
        try:
            version, fingerprint = document["version"], document["featuriser"]["fingerprint"]
            own = {name[len(_FEATURISER) :]: arrays.pop(name) for name in [*arrays] if name.startswith(_FEATURISER)}
            featuriser = from_config(document["featuriser"]["config"], own)
            policy = cls._around(
                document[cls.kind]["name"],
                RouterState(document[cls.kind]["config"], arrays),
                tuple(Arm.from_json(arm) for arm in document["arms"]),
                featuriser,
                Reward(**document["reward"]),
                DialMap(tuple(document["dial_map"]["dial"]), tuple(document["dial_map"]["cost_weight"])),
                {**document["metrics"]},
            )
        except (BadInput, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise BadInput(
                f"{folder}: not a policy that this version can rebuild ({type(error).__name__}: {error})"
            ) from error
        if featuriser.fingerprint != fingerprint:
            raise BadInput(
                f"{folder}: was made with featuriser {fingerprint}, here it would be {featuriser.fingerprint} and its "
                "decisions would differ; train it again: pointsman train TRACE --router NAME --out BUNDLE"
            )
        if policy.version != version:
            raise BadInput(f"{Path(folder) / POLICY_FILE}: describes another policy than its version names")
        return policy

    @classmethod
    @abstractmethod
    def _around(cls, name: str, state: RouterState, *rest: Any) -> Self:
        """One around what had this name and learned this; ``rest`` are the other attributes, in their order."""

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """All that was learned."""
        fitted = {f"{_FEATURISER}{name}": array for name, array in self.featuriser.arrays().items()}
        return {**self.decider.state().arrays, **fitted}

    def _description(self) -> dict[str, Any]:
        """All that decides, JSON-able; metrics and package versions are not part of it."""
        return {
            self.kind: {"name": self.name, "config": self.decider.state().config},
            "arms": [arm.to_json() for arm in self.arms],
            "featuriser": {"fingerprint": self.featuriser.fingerprint, "config": self.featuriser.config()},
            "reward": {"cost_weight": self.reward.cost_weight, "latency_weight": self.reward.latency_weight},
            "dial_map": {"dial": list(self.dial_map.dial), "cost_weight": list(self.dial_map.cost_weight)},
        }


@dataclass(frozen=True, slots=True)
class Policy(Bundled):
    """Decides which arm each query goes to; environment, comparison and server all call :meth:`decide`.

    Attributes:
        router: the trained router.
        arms: the ``K`` arms, in the router's order.
        featuriser: makes what the router sees.
        reward: the weights used where no dial is given; its latency weight always applies.
        dial_map: from the dial to a cost weight.
        metrics: what it reached on validation data, for the record.
    """

    router: Router
    arms: tuple[Arm, ...]
    featuriser: Featuriser
    reward: Reward = field(default_factory=Reward)
    dial_map: DialMap = field(default_factory=DialMap)
    metrics: Mapping[str, Any] = field(default_factory=dict)

    kind: ClassVar[str] = "router"

    def __post_init__(self) -> None:
        self._check()

    @property
    def decider(self) -> Router:
        """The router."""
        return self.router

    @classmethod
    def _around(cls, name: str, state: RouterState, *rest: Any) -> Self:
        return cls(router_class(name).from_state(state), *rest)

    def with_router(self, router: Router) -> Policy:
        """The same policy around another router."""
        return replace(self, router=router)

    def decide(
        self,
        queries: Queries | Sequence[str] | Contexts,
        *,
        rng: np.random.Generator,
        dial: float | NDArray[Any] | None = None,
        cost_weight: float | NDArray[Any] | None = None,
        load: NDArray[Any] | None = None,
        mask: NDArray[Any] | None = None,
        explore: bool = True,
        epsilon: float = 0.0,
    ) -> Decision:
        """Choose an arm for each query.

        Args:
            queries: queries, prompts, or contexts made by :meth:`contexts` (then the other arguments about
                the context are ignored).
            rng: the only source of randomness; a batch and its rows one by one consume it alike.
            dial: see :meth:`contexts`.
            cost_weight: see :meth:`contexts`.
            load: see :meth:`contexts`.
            mask: see :meth:`contexts`.
            explore: False for the greedy decision.
            epsilon: share of decisions drawn uniformly over the allowed arms. The propensities are those of
                the mixture, so its log supports off-policy evaluation of every policy.

        Returns:
            Arms, their propensities and the utility of every arm.
        """
        contexts = (
            queries
            if isinstance(queries, Contexts)
            else self.contexts(queries, dial=dial, cost_weight=cost_weight, load=load, mask=mask)
        )
        if epsilon == 0:
            return self.router.act(contexts, rng, explore=explore)
        if not 0 < epsilon <= 1:
            raise ValueError(f"epsilon is a share in [0, 1], got {epsilon}")
        # A rule that draws nothing says its law by deciding; asking for the law would decide a second time.
        draws = explore and type(self.router).law is not Estimator.law
        best = self.router.act(contexts, _ASIDE, explore=explore and not draws)
        if draws or (best.propensities < 1).any():
            law = self.router.law(contexts, explore=explore)
        else:
            law = certain(best.arms, len(self.arms))
        return sample((1 - epsilon) * law + epsilon * uniform(contexts.mask), best.scores, rng)


def new_policy(
    router: str,
    arms: Sequence[Arm | str],
    featuriser: Featuriser,
    /,
    *,
    reward: Reward | None = None,
    **settings: Any,
) -> Policy:
    """A policy around a fresh router that has learned nothing yet.

    Example:
        >>> from env.features import Hashing
        >>> policy = new_policy("fixed", ["small", "large"], Hashing(16), arm=1)
        >>> policy.decide(["Is it raining?"], rng=np.random.default_rng(0)).arms.tolist()
        [1]
    """
    listed = tuple(arm if isinstance(arm, Arm) else Arm(arm) for arm in arms)
    return Policy(make(router, len(listed), featuriser.d, **settings), listed, featuriser, reward or Reward())


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
