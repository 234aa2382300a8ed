"""Tables of the store, and how a store of an older version becomes one of this version."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    insert,
    inspect,
    select,
    update,
)

from env.errors import BadInput

SCHEMA_VERSION = 1

metadata = MetaData()

facts = Table(
    "pointsman",
    metadata,
    Column("key", String(40), primary_key=True),
    Column("value", Text, nullable=False),
)
"""Facts about the store itself: its schema version and the key of its prompt hashes."""

decisions = Table(
    "decisions",
    metadata,
    Column("request_id", String(40), primary_key=True),
    Column("timestamp", Float, nullable=False, index=True),
    Column("agent", Text),
    Column("node", Text),
    Column("parent", Text),
    Column("session", Text),
    Column("task", Text),
    Column("priority", Integer, nullable=False),
    Column("model_type", String(40), nullable=False),
    Column("prompt", Text),
    Column("prompt_hash", String(64)),
    Column("model", Text, nullable=False),
    Column("pinned", Boolean, nullable=False),
    Column("propensity", Float, nullable=False),
    Column("waits", JSON, nullable=False),
    Column("dial", Float, nullable=False),
    Column("cost_weight", Float, nullable=False),
    Column("latency_weight", Float, nullable=False),
    Column("features", LargeBinary),
    Column("featuriser", Text),
    Column("policy_version", String(64), nullable=False),
)
"""One row per request that was routed, committed before its answer begins."""

attempts = Table(
    "attempts",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("request_id", String(40), nullable=False, index=True),
    Column("attempt", Integer, nullable=False),
    Column("timestamp", Float, nullable=False),
    Column("model", Text, nullable=False),
    Column("reason", String(20), nullable=False),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    Column("cost_usd", Float),
    Column("latency_s", Float),
    Column("queue_wait_s", Float),
    Column("ttft_s", Float),
    Column("finish_reason", String(40)),
    Column("logprob", Float),
    Column("response", Text),
    Column("error", Text),
)
"""One row per call to an instance, failed ones too."""

answers = Table(
    "answers",
    metadata,
    Column("request_id", String(40), primary_key=True),
    Column("timestamp", Float, nullable=False),
    Column("status", String(20), nullable=False),
    Column("model", Text),
    Column("attempts", Integer, nullable=False),
    Column("cost_usd", Float),
    Column("latency_s", Float, nullable=False),
    Column("error", Text),
)
"""One row per request when it is over: what the agent saw."""

feedback = Table(
    "feedback",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String(200), nullable=False, unique=True),
    Column("request_id", String(40), nullable=False),
    Column("source", String(200), nullable=False),
    Column("score", Float, nullable=False),
    Column("timestamp", Float, nullable=False),
    Index("feedback_of_request", "request_id", "number"),
)
"""Every feedback that was accepted; the last of a source counts."""

_MIGRATIONS: Sequence[Callable[[Connection], None]] = ()
"""Step ``v - 1`` takes a store from version ``v`` to ``v + 1``, inside the caller's transaction."""


def prepare(connection: Connection, where: str, *, create: bool = True) -> bytes:
    """Create the tables, or bring them to this version; returns the key of the prompt hashes.

    Raises:
        BadInput: the store was written by a newer version, or is none and may not become one.
    """
    if not inspect(connection).has_table(facts.name):
        if not create:
            raise BadInput(f"{where}: not a store of this program; `pointsman serve` writes one")
        metadata.create_all(connection)
        key = secrets.token_hex(32)
        rows = [
            {"key": "schema_version", "value": str(SCHEMA_VERSION)},
            {"key": "hash_key", "value": key},
        ]
        connection.execute(insert(facts), rows)
        return bytes.fromhex(key)
    known: dict[str, str] = {key: value for key, value in connection.execute(select(facts.c.key, facts.c.value))}
    if not {"schema_version", "hash_key"} <= known.keys():
        raise BadInput(f"{where}: its table `{facts.name}` is not this program's; give another `store`")
    version = int(known["schema_version"])
    if version > SCHEMA_VERSION:
        raise BadInput(
            f"{where}: written by a newer version (schema {version}, this one knows up to {SCHEMA_VERSION}); "
            "upgrade pointsman, or give another `store`"
        )
    for migrate in _MIGRATIONS[version - 1 :]:
        migrate(connection)
    if version < SCHEMA_VERSION:
        connection.execute(update(facts).where(facts.c.key == "schema_version").values(value=str(SCHEMA_VERSION)))
    return bytes.fromhex(known["hash_key"])
