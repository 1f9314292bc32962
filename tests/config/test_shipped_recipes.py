"""The bundles' recipes from end to end on the sample photographs, a few steps each."""

from __future__ import annotations

import json
import math
import zipfile

import pytest
from click.testing import CliRunner

from toolbox.cli import main
from toolbox.data import sample
from toolbox.imaging import io


@pytest.mark.parametrize("recipe", ["timm-unet", "smp-unetplusplus", "two-stage", "hinge-r1"])
def test_a_recipe_trains_scores_and_restores(tmp_path, recipe):
    out = tmp_path / "out"
    options = ["--size", "64", "--batch", "2", "--steps", "3", "--device", "cpu", "--out", str(out)]
    options += ["--set", "training.memory_format=contiguous"]  # else both layouts of a large network are measured
    result = CliRunner().invoke(main, ["run", "--recipe", recipe, *options, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["steps"] == 3
    assert all(math.isfinite(value) for value in found["scores"]["this run, after step 3"].values())
    assert found["pixel_loss"]["after"] != found["pixel_loss"]["before"]
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [record["step"] for record in records if "g" in record] == [0, 1, 2]
    with zipfile.ZipFile(out / "submission.zip") as archive:
        assert archive.namelist() == sorted(f"{path.stem}.png" for path in io.find_images(sample.folder() / "test"))
