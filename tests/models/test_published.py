"""Published weights of plugins: they are listed with their origin and verified."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from toolbox.cli import main
from toolbox.errors import UsageError, WeightsError
from toolbox.hooks import catalog
from toolbox.models import published
from toolbox.models.stored_weights import find_weights

PLUGIN = """
from pathlib import Path
from toolbox import WeightsSpec, hookimpl

@hookimpl
def toolbox_weights():
    return [WeightsSpec(name="faces", summary="Faces", path=Path({path!r}), sha256={digest!r}, licence="CC0-1.0",
                        recipe="default")]
"""


@pytest.fixture
def weights(tmp_path, monkeypatch):
    monkeypatch.setenv("TOOLBOX_HOME", str(tmp_path))
    path = tmp_path / "faces.safetensors"
    path.write_bytes(b"any bytes")
    source = PLUGIN.format(path=str(path), digest=hashlib.sha256(b"any bytes").hexdigest())
    (tmp_path / "plugin.py").write_text(source, "utf-8")
    listed = f'[[files]]\nname = "my-faces"\nfile = {json.dumps(str(tmp_path / "plugin.py"))}\n'
    (tmp_path / "registry.toml").write_text(listed, "utf-8")
    return path


def test_a_plugins_weights_are_listed_and_found(weights):
    result = CliRunner().invoke(main, ["weights", "--json"])
    assert result.exit_code == 0
    row = next(row for row in json.loads(result.stdout) if row["name"] == "faces")
    assert (row["plugin"], row["licence"], row["recipe"], row["fault"]) == ("my-faces", "CC0-1.0", "default", None)
    assert published.find_published(catalog.load(), "faces") == weights
    assert " ok" in CliRunner().invoke(main, ["weights"]).stdout


def test_changed_and_missing_weights_are_refused(weights):
    weights.write_bytes(b"other bytes")
    with pytest.raises(WeightsError, match="has changed"):
        published.find_published(catalog.load(), "faces")
    assert CliRunner().invoke(main, ["weights"]).exit_code == 1
    weights.unlink()
    with pytest.raises(WeightsError, match="is missing"):
        published.find_published(catalog.load(), "faces")


def test_weights_for_a_recipe_without_one_in_their_header_are_named_with_the_recipe(weights):
    save_file({"weight": torch.zeros(1)}, weights)
    plugin = weights.with_name("plugin.py")
    old, new = hashlib.sha256(b"any bytes").hexdigest(), hashlib.sha256(weights.read_bytes()).hexdigest()
    plugin.write_text(plugin.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(WeightsError, match=f"are for the recipe 'default', but the header of {weights} has no recipe"):
        find_weights("weights:faces", catalog.load()).header()


def test_unknown_weights_have_a_suggestion(weights):
    with pytest.raises(UsageError, match="Did you mean 'faces'"):
        published.find_published(catalog.load(), "facse")


def test_every_shipped_file_is_valid():
    shipped = published.list_published(catalog.load(third_party=False))
    assert shipped and not [entry for entry in shipped if published.find_weight_damage(entry)]
