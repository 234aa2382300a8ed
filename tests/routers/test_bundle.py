"""The bundle: whole or absent, verified when read, and data only."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from env.errors import BadInput
from routers.bundle import POLICY_FILE, WEIGHTS_FILE, read_bundle, write_bundle

ARRAYS = {"theta": np.arange(6, dtype=np.float32).reshape(2, 3)}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "policy", {"router": "x"}, ARRAYS)


def test_a_bundle_reads_back_what_was_written(bundle: Path) -> None:
    policy, arrays = read_bundle(bundle)
    assert policy["router"] == "x"
    np.testing.assert_array_equal(arrays["theta"], ARRAYS["theta"])


def test_altered_weights_are_refused(bundle: Path) -> None:
    weights = bundle / WEIGHTS_FILE
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    with pytest.raises(BadInput, match="altered"):
        read_bundle(bundle)


def test_an_unknown_format_version_is_refused_with_the_mend(bundle: Path) -> None:
    document = json.loads((bundle / POLICY_FILE).read_text())
    (bundle / POLICY_FILE).write_text(json.dumps({**document, "format_version": 99}))
    with pytest.raises(BadInput, match=r"format version 99.*install"):
        read_bundle(bundle)


@pytest.mark.parametrize("text", ["", "not json", "[]", "{}"])
def test_a_broken_description_is_refused_in_one_line(bundle: Path, text: str) -> None:
    (bundle / POLICY_FILE).write_text(text)
    with pytest.raises(BadInput) as failure:
        read_bundle(bundle)
    assert "\n" not in str(failure.value)


def test_a_folder_that_is_no_bundle_is_neither_read_nor_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(BadInput, match="not a policy bundle"):
        read_bundle(tmp_path)
    with pytest.raises(BadInput, match="choose another folder"):
        write_bundle(tmp_path, {}, ARRAYS)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_an_older_bundle_is_replaced_and_nothing_is_left_beside_it(bundle: Path) -> None:
    write_bundle(bundle, {"router": "y"}, ARRAYS)
    assert read_bundle(bundle)[0]["router"] == "y"
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"NaN|nan|JSON"):
        write_bundle(tmp_path / "policy", {"metric": float("nan")}, ARRAYS)
    assert list(tmp_path.iterdir()) == []
