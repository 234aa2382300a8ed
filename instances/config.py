"""The runtime's configuration: one YAML file, checked; an unknown key is an error that names the nearest one.

Keys to cloud models never stand in the file: ``api_key_env`` names the environment variable that holds one.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from env.arms import Arm, Price, Tier
from env.errors import BadInput, nearest
from instances.providers.base import Completion

DEFAULT_CONFIG = Path(__file__).parent / "data" / "default.yaml"
"""What runs when nothing is configured: the local models and the policy shipped for them."""

MODALITIES = ("text", "image", "audio")

_NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=1)]
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._:+-]*$"  # fits in a header and in `pointsman/<policy>`, so no slash
RESERVED_NAME = "pointsman"
"""The model name that means "you choose"; no instance may have it."""
_ENV_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"


class _Settings(BaseModel):
    """Frozen, and strict about names."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PriceConfig(_Settings):
    """What a call costs; see ``env.arms.Price``."""

    input_usd_per_mtok: _NonNegative = 0.0
    output_usd_per_mtok: _NonNegative = 0.0
    usd_per_second: _NonNegative = 0.0
    request_usd: _NonNegative = 0.0

    @property
    def price(self) -> Price:
        """The price as the arms carry it."""
        return Price(**self.model_dump())


class PromptingConfig(_Settings):
    """How a small local model is asked; two configurations of one model are two arms."""

    style: Literal["chat", "few_shot"] = "chat"
    """``chat``: the conversation as it is. ``few_shot``: solved examples before the prompt."""
    examples: Annotated[int, Field(ge=0)] = 0
    """Solved examples put before the prompt (``few_shot``)."""
    votes: Annotated[int, Field(ge=1)] = 1
    """Samples per prompt; the most frequent answer wins."""
    temperature: _NonNegative | None = None
    """Sampling temperature when the request names none."""
    system: str | None = None
    """System message put before the conversation (``chat``)."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Output limit when the request names none."""

    @model_validator(mode="after")
    def _votes_differ(self) -> PromptingConfig:
        if self.votes > 1 and self.temperature == 0:
            raise ValueError(f"votes: {self.votes} samples at a temperature of 0 are the same; raise it, or votes: 1")
        return self


class InstanceConfig(_Settings):
    """One model as the runtime drives it."""

    name: Annotated[str, Field(pattern=_NAME)]
    """Unique; the arm of that name in a policy is this instance."""
    provider: Literal["openai", "local", "replay", "custom"]
    """``openai``: any OpenAI-compatible endpoint. ``local``: a llama.cpp model started by the runtime.
    ``replay``: a recorded trace as a model. ``custom``: a model trained here."""
    model: str | None = None
    """The upstream's name for the model; in a replay, the trace's. The instance's own name when not given."""
    base_url: str | None = None
    """The endpoint (``openai``), for example ``https://api.openai.com/v1``."""
    api_key_env: Annotated[str, Field(pattern=_ENV_VARIABLE)] | None = None
    """The NAME of the environment variable that holds the key."""
    tier: Tier | None = None
    model_types: Annotated[tuple[str, ...], Field(min_length=1)] = ("text",)
    """Modalities it takes, for example ``[text, text+image]``."""
    price: PriceConfig = PriceConfig()
    context_window: Annotated[int, Field(ge=1)] | None = None
    concurrency: Annotated[int, Field(ge=1)] = 1
    """Calls in flight at once; the others wait in its queue."""
    queue_length: Annotated[int, Field(ge=0)] = 256
    """Requests that may wait; one more is refused with 429."""
    timeout_s: Annotated[float, Field(gt=0)] = 60.0
    """Longest call to the upstream."""
    prompting: PromptingConfig | None = None
    trace: str | None = None
    """The trace to answer from (``replay``): a file, relative to this configuration, or a bundled name."""
    speed: Annotated[float, Field(gt=0)] = 1.0
    """``replay``: 1 waits the recorded latency, 10 a tenth of it, ``.inf`` not at all."""
    path: str | None = None
    """The model's files (``custom``, ``local``), relative to this configuration."""

    @field_validator("name")
    @classmethod
    def _not_reserved(cls, name: str) -> str:
        if name == RESERVED_NAME:
            raise ValueError(f"`{name}` means the whole router; give the instance another name")
        return name

    @field_validator("model_types")
    @classmethod
    def _known_modalities(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        for kind in kinds:
            parse_model_type(kind)
        return kinds

    @model_validator(mode="after")
    def _has_what_its_provider_needs(self) -> InstanceConfig:
        needs = {"openai": "base_url", "replay": "trace", "custom": "path"}.get(self.provider)
        if needs is not None and getattr(self, needs) is None:
            raise ValueError(f"provider `{self.provider}` needs `{needs}`")
        return self

    @property
    def upstream_model(self) -> str:
        """The name that the provider knows the model by."""
        return self.model or self.name

    @property
    def arm(self) -> Arm:
        """The arm that a policy would see."""
        return Arm(self.name, self.tier, self.price.price, self.model_types, self.context_window)

    def cost_usd(self, completion: Completion) -> float | None:
        """Dollars of a completion: the provider's own figure, or else the price table.

        ``None`` where the tokens it is charged by are not known.

        Example:
            >>> instance = InstanceConfig(name="a", provider="local", price=PriceConfig(request_usd=0.01))
            >>> instance.cost_usd(Completion("4", None, None, 0.2))
            0.01
        """
        if completion.cost_usd is not None:
            return completion.cost_usd
        price, read, written = self.price.price, completion.input_tokens, completion.output_tokens
        if (read is None and price.input_usd_per_mtok) or (written is None and price.output_usd_per_mtok):
            return None
        return price.cost(read or 0, written or 0, completion.latency_s)


class RuntimeConfig(_Settings):
    """The whole runtime."""

    instances: Annotated[tuple[InstanceConfig, ...], Field(min_length=1)]
    router: str = "policy"
    """``policy``: the learned bundle. Any name of ``routers.names()``: that router, untrained, over the
    instances as they are listed."""
    router_settings: Mapping[str, Any] = Field(default_factory=dict)
    """Settings of an untrained ``router``."""
    policy: str | None = None
    """Bundle folder, relative to this configuration; the shipped policy when not given."""
    dial: _Share = 0.5
    """0 = cheapest, 1 = best, for requests that name none."""
    exploration: _Share = 0.05
    """Share of the requests spread uniformly over the available arms, so that the log supports evaluation."""
    learn: bool = True
    """A policy whose router can learn online learns from feedback while it serves; what it learned is rebuilt from
    the store at the next start. ``false`` serves the policy as it is."""
    seed: int | None = None
    """Seed of the router's draws; fresh entropy when not given."""
    ageing_s: Annotated[float, Field(gt=0)] = 5.0
    """A waiting request rises by one priority class in this time, so that none starves."""
    health_check_s: Annotated[float, Field(gt=0)] = 5.0
    """An instance that failed is looked at again this often."""
    store: str = "sqlite:///pointsman.db"
    """Where decisions, attempts and feedback go: a SQLAlchemy URL."""
    synchronous: Literal["NORMAL", "FULL"] = "NORMAL"
    """SQLite only. ``NORMAL`` survives a killed process, ``FULL`` a power cut too."""
    store_prompts: Literal["full", "hashed", "none"] = "full"
    """``full``: prompts and answers. ``hashed``: a keyed hash of the prompt only. ``none``: neither; the
    features that the policy saw are always kept, and the text of an error only with ``full``."""
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8321
    max_connections: Annotated[int, Field(ge=1)] = 512
    """Clients connected at once; a request over one more is answered with 503. Every connection is an open file, of
    which a process may often have 1024."""
    largest_body_mib: Annotated[int, Field(ge=1)] = 20
    """A larger request is refused with 413. The default holds a photograph or a few screenshots as data URLs; text
    needs far less."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> RuntimeConfig:
        names = [instance.name for instance in self.instances]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"instance name `{twice[0]}` is used twice")
        return self


def parse_model_type(model_type: str) -> frozenset[str]:
    """The modalities of a model type.

    Raises:
        ValueError: an unknown modality.

    Example:
        >>> sorted(parse_model_type("text+image"))
        ['image', 'text']
        >>> parse_model_type("text+smell")
        Traceback (most recent call last):
        ...
        ValueError: unknown modality `smell`; known: audio, image, text
    """
    kinds = frozenset(part.strip() for part in model_type.split("+"))
    for kind in sorted(kinds.difference(MODALITIES)):
        raise ValueError(f"unknown modality `{kind}`{nearest(kind, MODALITIES)}")
    return kinds


def load_config(path: str | Path | None = None) -> RuntimeConfig:
    """The configuration in a YAML file; the shipped one when no path is given.

    Raises:
        BadInput: naming the file, the key, and where a key is unknown, the nearest valid one.
    """
    file = DEFAULT_CONFIG if path is None else Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{file}: cannot read the configuration: {error.strerror or error}") from None
    try:
        data = yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.YAMLError as error:
        raise BadInput(f"{file}: not valid YAML: {_yaml_problem(error)}") from None
    return parse_config(data, where=str(file), base=file.parent)


def parse_config(data: object, where: str = "configuration", base: Path | None = None) -> RuntimeConfig:
    """A configuration from plain data.

    Args:
        data: what the YAML file holds.
        where: the name errors begin with.
        base: folder that relative ``trace``, ``path`` and ``policy`` are looked up in.

    Raises:
        BadInput: see ``load_config``. Values are never part of the message: they may be secrets.

    Example:
        >>> parse_config({"instances": [{"name": "a", "provider": "local", "concurency": 2}]}, "my.yaml")
        Traceback (most recent call last):
        ...
        env.errors.BadInput: my.yaml: instances[0].concurency: unknown key; did you mean `concurrency`?
    """
    if not isinstance(data, Mapping):
        raise BadInput(f"{where}: a configuration is a mapping with the key `instances`")
    try:
        config = RuntimeConfig.model_validate(data)
    except ValidationError as error:
        raise BadInput(f"{where}: {_first_problem(error)}") from None
    return config if base is None else _resolve(config, base)


def _resolve(config: RuntimeConfig, base: Path) -> RuntimeConfig:
    """Paths relative to the file; what is not there stays as it is: a bundled trace is a name, not a path."""

    def at_base(path: str | None) -> str | None:
        found = path is not None and (base / path).exists()
        return str(base / path) if found and path is not None else path

    instances = tuple(
        instance.model_copy(update={"trace": at_base(instance.trace), "path": at_base(instance.path)})
        for instance in config.instances
    )
    return config.model_copy(update={"instances": instances, "policy": at_base(config.policy)})


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_context=True, include_input=False)[0]
    location, kind = problem["loc"], problem["type"]
    if kind == "extra_forbidden":
        valid = _keys_beside(location)
        return f"{_dotted(location)}: unknown key{nearest(str(location[-1]), valid)}"
    if kind == "missing":
        return f"{_dotted(location)}: missing"
    if location and location[-1] == "api_key_env":
        return f"{_dotted(location)}: must be the name of an environment variable, never the key itself"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{_dotted(location)}: {message}" if location else message


def _keys_beside(location: tuple[int | str, ...]) -> list[str]:
    """The valid keys of the mapping that holds ``location``."""
    models: dict[str, type[_Settings]] = {
        "instances": InstanceConfig,
        "price": PriceConfig,
        "prompting": PromptingConfig,
    }
    parents = [part for part in location[:-1] if isinstance(part, str)]
    return list(models.get(parents[-1], RuntimeConfig).model_fields if parents else RuntimeConfig.model_fields)


def _dotted(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _yaml_problem(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "unreadable"
    return problem if mark is None else f"line {mark.line + 1}: {problem}"


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key `{name}` twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep=deep)
