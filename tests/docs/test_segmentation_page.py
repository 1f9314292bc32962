"""The page on finding damage, as a reader follows it: add the plugin, train, export, check, find. Some 4 s."""

from __future__ import annotations

import numpy as np
from click.testing import CliRunner
from documents import DOCS, blocks

from toolbox.cli import main
from toolbox.imaging import io


def toolbox(*arguments):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_plugin_the_recipe_and_the_commands_of_the_page_work(photos, tmp_path):
    page = (DOCS / "segmentation.md").read_text("utf-8")
    (plugin,), (recipe,), (commands,) = (blocks(page, language) for language in ("python", "toml", "sh"))
    (tmp_path / "example.py").write_text(plugin, "utf-8")
    (tmp_path / "scratches.toml").write_text(recipe, "utf-8")
    photo = sorted(photos.iterdir())[0]
    # Shorter than on the page: two epochs at 32 pixels.
    short = ["--epochs", 2, "--size", 32, "--device", "cpu", "--set", "generator.width=4"]
    outputs = []
    for line in commands.splitlines():
        words = line.replace("PHOTOS", str(photos)).replace("PHOTO", str(photo)).split()
        outputs.append(toolbox(*words[1:], *(short if words[1] == "run" else [])))
    assert "Labels: scratch." in outputs[1] and "f1" in outputs[1] and "f1.scratch" in outputs[1]
    assert ", 0 failed" in outputs[3].replace(": ", ", ")
    (written,) = (tmp_path / "masks").glob("*.png")
    mask = io.read_rgb(written)
    assert mask.shape == io.read_rgb(photo).shape and np.isin(mask, (0, 255)).all()
