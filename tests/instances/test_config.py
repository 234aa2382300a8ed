"""The configuration: what is wrong is named with the file, the key and the mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from env.errors import BadInput
from instances.config import InstanceConfig, RuntimeConfig, load_config, parse_config
from instances.providers.base import Completion

GOOD = """
instances:
  - name: cloud
    provider: openai
    base_url: https://api.example.com/v1
    api_key_env: EXAMPLE_KEY
    tier: strongest_cloud
    model_types: [text, text+image]
    price: {input_usd_per_mtok: 2.5, output_usd_per_mtok: 10}
  - {name: recorded, provider: replay, trace: trace.parquet, model: gpt}
policy: champion
"""


def load(tmp_path: Path, text: str) -> RuntimeConfig:
    file = tmp_path / "pointsman.yaml"
    file.write_text(text, encoding="utf-8")
    return load_config(file)


def test_a_good_file_is_read_with_its_defaults(tmp_path: Path) -> None:
    config = load(tmp_path, GOOD)
    cloud, recorded = config.instances
    assert (cloud.upstream_model, recorded.upstream_model) == ("cloud", "gpt")
    assert cloud.arm.price is not None
    assert cloud.arm.price.cost(1_000_000, 0) == 2.5
    assert (config.dial, config.host) == (0.5, "127.0.0.1")


def test_paths_are_relative_to_the_file_and_bundled_names_stay(tmp_path: Path) -> None:
    (tmp_path / "champion").mkdir()
    config = load(tmp_path, GOOD)
    assert config.policy == str(tmp_path / "champion")
    assert config.instances[1].trace == "trace.parquet"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("policy:", "polciy:"), r"pointsman.yaml: polciy: unknown key; did you mean `policy`\?"),
        (("tier:", "teir:"), r"pointsman.yaml: instances\[0\].teir: unknown key; did you mean `tier`\?"),
        (("input_usd_per_mtok", "input_usd"), r"instances\[0\].price.input_usd: unknown key; did you mean `input_usd_"),
        (("api_key_env: EXAMPLE_KEY", "api_key: sk-123"), r"api_key: unknown key; did you mean `api_key_env`\?"),
        (("provider: openai", "provider: opnai"), r"instances\[0\].provider: Input should be 'openai', 'local'"),
        (("    base_url: https://api.example.com/v1\n", ""), r"provider `openai` needs `base_url`"),
        (("name: recorded", "name: cloud"), r"instance name `cloud` is used twice"),
        (("name: recorded", "name: pointsman"), r"`pointsman` means the whole router"),
        (("text+image", "text+smell"), r"unknown modality `smell`"),
        (("policy: champion", "instances: []"), r"line 11: key `instances` twice"),
        (("policy: champion", "policy: [x"), r"pointsman.yaml: not valid YAML: line"),
        (
            ("tier: strongest_cloud", "prompting: {votes: 3, temperature: 0}"),
            r"prompting: votes: 3 .*same",
        ),
        (("policy: champion", "dial: 1.5"), r"dial: Input should be less than or equal to 1"),
    ],
)
def test_what_is_wrong_is_one_line_with_file_and_key(tmp_path: Path, change: tuple[str, str], problem: str) -> None:
    with pytest.raises(BadInput, match=problem) as refused:
        load(tmp_path, GOOD.replace(*change))
    assert "\n" not in str(refused.value)


def test_a_key_written_into_the_file_is_never_shown(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refused:
        load(tmp_path, GOOD.replace("EXAMPLE_KEY", "sk-secret"))
    assert "sk-secret" not in str(refused.value)
    assert "name of an environment variable" in str(refused.value)


def test_a_missing_file_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot read"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(BadInput, match="is a mapping"):
        load(tmp_path, "")
    with pytest.raises(BadInput, match="at least 1 item"):
        parse_config({"instances": []})


@pytest.mark.parametrize(
    ("price", "completion", "usd"),
    [
        ({"input_usd_per_mtok": 2.0, "output_usd_per_mtok": 10.0}, Completion("4", 1_000, 100, 0.5), 0.003),
        ({"input_usd_per_mtok": 2.0}, Completion("4", 1_000, 100, 0.5, cost_usd=0.5), 0.5),
        ({"input_usd_per_mtok": 2.0}, Completion("4", None, None, 0.5), None),
        ({"input_usd_per_mtok": 2.0}, Completion("4", 1_000, None, 0.5), 0.002),
        ({"input_usd_per_mtok": 2.0}, Completion("4", None, 100, 0.5), None),
        ({"output_usd_per_mtok": 10.0}, Completion("4", None, 100, 0.5), 0.001),
        ({"output_usd_per_mtok": 10.0}, Completion("4", 1_000, None, 0.5), None),
        ({"request_usd": 0.01, "usd_per_second": 0.1}, Completion("4", None, None, 0.5), 0.06),
    ],
)
def test_the_providers_own_cost_wins_and_else_the_price_table(
    price: dict[str, float], completion: Completion, usd: float | None
) -> None:
    instance = InstanceConfig.model_validate({"name": "a", "provider": "local", "price": price})
    assert instance.cost_usd(completion) == (None if usd is None else pytest.approx(usd))
