"""Messages that a Python program gets name parameters and functions, and no option of the command line."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from module_texts import modules_after, texts_of
from PIL import Image
from standins import gray

import toolbox
from toolbox.errors import ToolboxError

ROOT = Path(toolbox.__file__).parent
OPTION = re.compile(r"(^|[^-\w])--([a-z]|$)")
# Texts that no function of the public API gives: commands reach them, or they are parts of a command.
NOT_IN_PYTHON = {
    ("config/recipe.py", "--set "),
    ("config/recipe.py", ": write KEY=VALUE, as in --set generator.optimizer.lr=2e-4"),
    ("evaluation/submission.py", "--zip "),
    ("hooks/blame.py", "For the traceback add --traceback."),
    ("hooks/manager.py", "by --no-plugins"),
    ("hooks/manager.py", "which the option --no-plugins leaves out"),
    ("hooks/manager.py", " --name ANOTHER"),
    ("inference/color_notes.py", "--variants"),
    ("inference/reference_files.py", "--reference"),
    ("inference/reference_files.py", "--reference "),
    ("inference/result_files.py", "it has no Digital Source Type: write it again with --overwrite"),
    ("inference/result_files.py", " exists and has another size than its photo; replace it with --overwrite"),
    ("training/resume.py", " --data "),
}


def test_every_message_that_names_an_option_has_words_for_python():
    """All modules that the public names import are read, so a new message is among them."""
    named = {
        (str(path.relative_to(ROOT)), text)
        for path in modules_after("import toolbox; [getattr(toolbox, name) for name in toolbox.__all__]")
        for text in texts_of(path, "python")
        if OPTION.search(text) and "\n" not in text.strip()
    }
    assert named - NOT_IN_PYTHON == set()
    assert NOT_IN_PYTHON - named == set()


def no_alpha():
    return Image.fromarray(np.full((48, 64), 255, np.uint8))


def unclear():
    mask = np.zeros((48, 64), np.uint8)
    mask[5:9], mask[30:44] = 255, 60
    return Image.fromarray(mask)


def several_readings():
    layer = np.zeros((48, 64, 4), np.uint8)
    layer[5:9], layer[30:44] = (255, 255, 255, 255), (0, 0, 0, 255)
    return Image.fromarray(layer)


def framed(width):
    mask = np.ones((48, 64), bool)
    mask[width:-width, width:-width] = False
    return mask


def rgb():
    return np.dstack([gray()] * 3)


def restore(mask, **options):
    return lambda folder: toolbox.restore(gray(), mask, **options)


CALLS = {
    "too much": (restore(np.arange(48)[:, None] * np.ones((1, 64)) < 40), "allow_large=True"),
    "inverted": (restore(framed(11)), "allow_large=True"),
    "all": (restore("none", color="#7f7f7f", tolerance=255, grow=3), "lower tolerance, or lower grow"),
    "colour": (restore("none", color="red"), "color red is not a colour"),
    "no transparency": (restore(no_alpha(), mask_means="painted"), "mask_means='painted' does not apply"),
    "unclear": (restore(unclear()), "or call toolbox.restore with mask_means='white' if"),
    # Only toolbox.restore has mask_means.
    "several": (
        lambda folder: toolbox.score(rgb(), rgb(), masks=several_readings()),
        "paint what is lost white and the rest black, without transparency, or call toolbox.restore with mask_means=",
    ),
    "device": (restore("none", device="cuda:99"), "device cuda:99 is not available"),
    "data": (lambda folder: toolbox.train(data=folder / "none"), "data "),
    "out": (
        lambda folder: (folder / "recipe.toml").touch() or toolbox.train(out=folder, device="cpu"),
        "with out=DIR, or continue the run in it: resume=",
    ),
    "out that is no run": (lambda folder: toolbox.train(out=folder, device="cpu"), "Choose another one with out=DIR."),
    "resume": (lambda folder: toolbox.train(resume=folder), "is not a run"),
    "held out": (lambda folder: toolbox.score("luma", data=folder, held_out=True), "held_out"),
    "masks": (lambda folder: toolbox.score(folder, folder, masks=folder / "none"), "masks "),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_message_names_the_parameter(name, tmp_path):
    call, words = CALLS[name]
    for index in range(3):
        Image.fromarray(gray(seed=index)).save(tmp_path / f"{index}.png")
    with warnings.catch_warnings(), pytest.raises((ToolboxError, ValueError)) as caught:
        warnings.simplefilter("ignore")
        call(tmp_path)
    assert words in str(caught.value) and "--" not in str(caught.value)
