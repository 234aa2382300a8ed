"""Deployment: policies in MLflow's model registry, where an alias says which one serves.

A model version is a folder with the two files of a bundle. The server downloads these two, checks their hashes and
never unpickles or imports anything. What else lies there is for MLflow's users, who may load the same version with
``mlflow.pyfunc.load_model`` (:mod:`experiments.tracking.pyfunc`); the server never does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from env.errors import BadInput
from env.uris import shown_uri
from experiments.tracking import BUNDLE, Tracker, connect, exists, speaking_plainly, tracking_uri
from routers.bundle import POLICY_FILE, WEIGHTS_FILE
from routers.plan_policy import PlanPolicy
from routers.plan_policy import load_policy as load_bundle
from routers.policy import Policy

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

MODEL = "pointsman"
CHAMPION, PREVIOUS = "champion", "previous"
_SCHEME = "models:/"
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # of a model or version, of an alias


@dataclass(frozen=True, slots=True)
class Deployed:
    """A registered policy.

    Attributes:
        model: name in the registry.
        number: its version there.
        policy_version: names exactly this policy.
        router: its algorithm.
        trace: what it was trained on.
        registered: when, ISO 8601, UTC.
    """

    model: str
    number: str
    policy_version: str
    router: str
    trace: str
    registered: str

    @property
    def uri(self) -> str:
        """How ``--policy`` names it."""
        return f"{_SCHEME}{self.model}/{self.number}"


def load_policy(reference: str | Path) -> Policy:
    """A policy from a bundle folder, ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.

    Raises:
        BadInput: no such folder or registered version, or a bundle that was altered.
        MissingExtra: a registry is named and MLflow is not installed.

    Example:
        >>> load_policy("no/such/bundle")
        Traceback (most recent call last):
        ...
        env.errors.BadInput: no/such/bundle: not a policy bundle; it needs policy.json and weights.safetensors
    """
    if not str(reference).startswith(_SCHEME):
        return Policy.load(reference)
    client = connect(_existing())
    return _download(client, _resolve(client, str(reference)))


def load_any(reference: str | Path) -> Policy | PlanPolicy:
    """A policy as :func:`load_policy` loads it, or the plan that a bundle folder holds."""
    return load_policy(reference) if str(reference).startswith(_SCHEME) else load_bundle(reference)


def promote(reference: str | Path, *, model: str = MODEL, uri: str | None = None) -> Deployed:
    """Register a policy, if it is not registered yet, and make it the champion.

    The champion so far stays at hand under the alias ``previous``, for :func:`rollback`.

    Args:
        reference: see :func:`load_policy`.
        model: name in the registry.
        uri: of the registry.

    Raises:
        BadInput: see :func:`load_policy`.
    """
    policy = load_policy(reference)
    tracker = Tracker(uri)
    with speaking_plainly(tracker.uri):
        client = tracker.client
        if not client.search_registered_models(f"name = '{model}'"):
            client.create_registered_model(model, description="Policies that choose which LLM answers a request")
        number = _registered(client, model, policy) or _register(tracker, model, policy)
        serving = _alias(client, model, CHAMPION)
        if serving is not None and str(serving.version) != number:
            client.set_registered_model_alias(model, PREVIOUS, serving.version)
        client.set_registered_model_alias(model, CHAMPION, number)
        return _deployed(client.get_model_version(model, number))


def rollback(*, model: str = MODEL, uri: str | None = None) -> Deployed:
    """Make the previous champion the champion again; a second rollback undoes the first.

    Raises:
        BadInput: there is no registry, or no previous champion.
    """
    where = _existing(uri)
    client = connect(where)
    with speaking_plainly(where):
        previous = _alias(client, model, PREVIOUS)
        if previous is None:
            raise BadInput(f"model {model}: no champion came before this one; promote another bundle instead")
        serving = _alias(client, model, CHAMPION)
        client.set_registered_model_alias(model, CHAMPION, previous.version)
        if serving is not None:
            client.set_registered_model_alias(model, PREVIOUS, serving.version)
        return _deployed(previous)


def status(*, model: str = MODEL, uri: str | None = None) -> dict[str, Any]:
    """What serves and what came before: JSON-able; ``None`` where there is nothing."""
    where = uri or tracking_uri()
    found: dict[str, Any] = {"registry": shown_uri(where), "model": model, "versions": 0}
    found |= {CHAMPION: None, PREVIOUS: None}
    if not exists(where):
        return found
    client = connect(where)
    with speaking_plainly(where):
        found["versions"] = len(client.search_model_versions(f"name = '{model}'"))
        for alias in (CHAMPION, PREVIOUS):
            version = _alias(client, model, alias)
            found[alias] = None if version is None else asdict(_deployed(version))
    return found


class MLflowPolicySource:
    """New champions for a running server: implements ``instances.ports.PolicySource``.

    Args:
        reference: ``models:/NAME@ALIAS``.
        uri: of the registry.

    Raises:
        BadInput: there is no registry.
        MissingExtra: MLflow is not installed.
    """

    def __init__(self, reference: str = f"{_SCHEME}{MODEL}@{CHAMPION}", *, uri: str | None = None) -> None:
        self.reference = reference
        self._client = connect(_existing(uri))
        self._last: str | None = None

    def latest(self) -> Policy | None:
        """The policy under the alias, if it is another one than the last time.

        Raises:
            BadInput: nothing is registered under it, or its files were altered.
        """
        version = _resolve(self._client, self.reference)
        if version.version == self._last:
            return None
        policy = _download(self._client, version)
        self._last = version.version
        return policy


def _existing(uri: str | None = None) -> str:
    where = uri or tracking_uri()
    if not exists(where):
        raise BadInput(
            f"no registry at {shown_uri(where)}; `pointsman promote BUNDLE` makes one, "
            "MLFLOW_TRACKING_URI names another"
        )
    return where


def _resolve(client: MlflowClient, reference: str) -> ModelVersion:
    """The version behind ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``."""
    name, at, alias = reference.removeprefix(_SCHEME).partition("@")
    number = ""
    if not at:
        name, _, number = name.partition("/")
    if not name or not (alias or number):
        raise BadInput(f"{reference}: a registered policy is {_SCHEME}NAME@ALIAS or {_SCHEME}NAME/VERSION")
    with speaking_plainly(client.tracking_uri):
        found = _alias(client, name, alias) if at else _unless_absent(client.get_model_version, name, number)
    if found is None:
        raise BadInput(f"{reference}: nothing is registered under it; `pointsman status` shows what is")
    return found


def _download(client: MlflowClient, version: ModelVersion) -> Policy:
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory() as scratch, speaking_plainly(client.tracking_uri):
        source = client.get_model_version_download_uri(version.name, version.version)
        for file in (POLICY_FILE, WEIGHTS_FILE):
            download_artifacts(artifact_uri=f"{source}/{file}", dst_path=scratch, tracking_uri=client.tracking_uri)
        try:
            return Policy.load(scratch)
        except BadInput as error:
            # The scratch folder means nothing to the reader.
            raise BadInput(str(error).replace(scratch, f"{_SCHEME}{version.name}/{version.version}")) from error


def _registered(client: MlflowClient, model: str, policy: Policy) -> str | None:
    found = client.search_model_versions(f"name = '{model}' and tags.policy_version = '{policy.version}'")
    return str(found[0].version) if found else None


def _register(tracker: Tracker, model: str, policy: Policy) -> str:
    with tracker.run(f"register {policy.router.name} {policy.version}", tags={"kind": "registration"}) as run_id:
        tracker.policy(run_id, policy)
    source = f"{tracker.client.get_run(run_id).info.artifact_uri}/{BUNDLE}"
    tags = {
        "policy_version": policy.version,
        "router": policy.router.name,
        "trace": str(policy.metrics.get("trace", "")),
    }
    return str(tracker.client.create_model_version(model, source, run_id, tags=tags).version)


def _alias(client: MlflowClient, model: str, alias: str) -> ModelVersion | None:
    return _unless_absent(client.get_model_version_by_alias, model, alias)


def _unless_absent(ask: Callable[[str, str], ModelVersion], model: str, which: str) -> ModelVersion | None:
    """``None`` where MLflow answers that there is no such thing; no answer, or a refusal, is not that."""
    from mlflow.exceptions import MlflowException

    try:
        return ask(model, which)
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
        return None


def _deployed(version: ModelVersion) -> Deployed:
    when = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds")
    tags = version.tags
    return Deployed(
        version.name,
        str(version.version),
        tags.get("policy_version", "unknown"),
        tags.get("router", "unknown"),
        tags.get("trace", "unknown"),
        when,
    )
