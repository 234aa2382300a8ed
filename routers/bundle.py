"""The policy bundle: a folder with ``policy.json`` and ``weights.safetensors``: data, never code or pickle.

``policy.json`` says what the policy is and holds two SHA-256: of the weights, which are plain arrays, and of all
else that it says itself. Reading refuses an unknown format version and anything altered since the policy was saved.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from env.errors import BadInput

FORMAT_VERSION = 2
POLICY_FILE = "policy.json"
WEIGHTS_FILE = "weights.safetensors"


def write_bundle(folder: str | Path, policy: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Path:
    """Write a bundle; the folder appears whole or not at all.

    Args:
        folder: where to; an older bundle there is replaced, any other folder is refused.
        policy: JSON-able description; the format version and hashes are added here.
        arrays: weights by name.

    Raises:
        BadInput: ``folder`` exists and is not a bundle.
    """
    target = check_folder(folder)
    weights = save_tensors({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    said = {**policy, "format_version": FORMAT_VERSION, "hashes": {WEIGHTS_FILE: hashlib.sha256(weights).hexdigest()}}
    # To JSON and back: the hash is of what a reader will read.
    document = json.loads(json.dumps(said, allow_nan=False))
    document["hashes"][POLICY_FILE] = _hash_of_all_else(document)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    retired = scratch.with_name(f"{scratch.name}.old")
    try:
        (scratch / WEIGHTS_FILE).write_bytes(weights)
        (scratch / POLICY_FILE).write_text(json.dumps(document, indent=2) + "\n")
        scratch.chmod(0o755)
        # A folder cannot be swapped in one step; the old one goes only once the new one is in its place.
        if target.exists():
            os.replace(target, retired)
        os.replace(scratch, target)
        shutil.rmtree(retired, ignore_errors=True)
    except BaseException:
        if not target.exists() and retired.exists():
            os.replace(retired, target)
        for folder in (scratch, retired):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return target


def check_folder(folder: str | Path) -> Path:
    """The folder, if a bundle may be written there: it is new, empty or an older bundle.

    Raises:
        BadInput: it holds something else.
    """
    target = Path(folder)
    if target.exists() and any(target.iterdir() if target.is_dir() else [target]) and not is_bundle(target):
        raise BadInput(f"{target}: exists and is not a policy bundle; choose another folder")
    return target


def read_bundle(folder: str | Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read and verify a bundle: its description and its arrays.

    Raises:
        BadInput: not a bundle, a format this version does not know, or altered since it was saved.
    """
    source = Path(folder)
    if source.suffix in (".pkl", ".pickle", ".joblib", ".zip"):
        raise BadInput(
            f"{source}: pickles can run code and are never loaded; train it again into a bundle: "
            f"pointsman train TRACE --router NAME --out {source.stem}"
        )
    if not is_bundle(source):
        raise BadInput(f"{source}: not a policy bundle; it needs {POLICY_FILE} and {WEIGHTS_FILE}{_left_aside(source)}")
    described = source / POLICY_FILE
    try:
        policy = json.loads(described.read_text())
        version = policy["format_version"]
        known = type(version) is int and version == FORMAT_VERSION
        of_policy, of_weights = (policy["hashes"][file] if known else "" for file in (POLICY_FILE, WEIGHTS_FILE))
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise BadInput(f"{described}: not a policy description ({error})") from error
    if not known:
        raise BadInput(
            f"{described}: format version {version}, this Pointsman reads {FORMAT_VERSION}; "
            "install the version that wrote it, or train again"
        )
    if _hash_of_all_else(policy) != of_policy:
        raise BadInput(f"{described}: altered since the policy was saved (SHA-256 differs)")
    weights = (source / WEIGHTS_FILE).read_bytes()
    if hashlib.sha256(weights).hexdigest() != of_weights:
        raise BadInput(f"{source / WEIGHTS_FILE}: altered since the policy was saved (SHA-256 differs)")
    try:
        return policy, load_tensors(weights)
    except SafetensorError as error:
        raise BadInput(f"{source / WEIGHTS_FILE}: not a safetensors file ({error})") from error


def _left_aside(source: Path) -> str:
    """What to do where a process was killed between the two moves of a save; which one is wanted is not for us to say.

    Nothing is lost: the older bundle lies aside, hidden, until somebody renames or removes it.
    """
    aside = [path for path in source.parent.glob(f".{escape(source.name)}.*.old") if is_bundle(path)]
    if not aside:
        return ""
    latest = max(aside, key=lambda path: (path / POLICY_FILE).stat().st_mtime)
    return f"; a save was interrupted, the bundle before it is {latest.name} beside it: rename it to {source.name}"


def _hash_of_all_else(document: Mapping[str, Any]) -> str:
    """SHA-256 of everything a description says but this hash itself, however it is laid out."""
    hashes = {name: value for name, value in document["hashes"].items() if name != POLICY_FILE}
    canonical = json.dumps({**document, "hashes": hashes}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def bundle_version(policy: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    """A short name for exactly this policy: a hash over description and weights, not over when it was saved."""
    digest = hashlib.sha256(json.dumps(policy, sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(name.encode() + np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()[:12]


def is_bundle(folder: Path) -> bool:
    """True for a folder that holds both files of a bundle."""
    return (folder / POLICY_FILE).is_file() and (folder / WEIGHTS_FILE).is_file()
