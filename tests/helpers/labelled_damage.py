"""A damage that labels two kinds, a recipe of segmentation over it, and a catalog that has both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from catalogs import plugin

from toolbox import DegradationSpec, Sample
from toolbox.config.binding import bind
from toolbox.config.recipe import Recipe, parse, with_overrides
from toolbox.testing.plugins import catalog_with

KINDS = ("scratch", "stain")
RECIPE = """
seed = 3
[data]
size = 32
[training]
epochs = 2
batch = 3
memory_format = "channels-last"
[validation]
choose_by = "f1"
[generator]
name = "segmentation-unet"
kinds = 2
width = 4
levels = 3
[generator.optimizer]
lr = 1e-3
[step]
name = "segmentation"
[step.kind_weights]
stain = 2.0
[degradations.scratches]
[degradations.flip]
"""


def scratch(sample: Sample, random: np.random.Generator) -> Sample:
    """Draw a light vertical scratch and a dark stain."""
    lost, stain = (np.zeros(sample.mask.shape, bool) for _ in KINDS)
    height, width = lost.shape
    left, top = int(random.integers(width)), int(random.integers(height))
    lost[:, left : left + 2] = True
    stain[top : top + height // 4, : width // 3] = True
    image = sample.image.copy()
    image[stain], image[lost] = image[stain] // 3, 250
    labels = {"scratch": lost, "stain": stain}
    return Sample(image=image, mask=sample.mask | lost | stain, truth=sample.truth, labels=labels)


def labelled_catalog():
    """Return the bundles that ship, and the damage `scratches`."""
    spec = DegradationSpec(name="scratches", summary="two kinds", build=lambda params: scratch, kinds=KINDS)
    return catalog_with(plugin("labelled", toolbox_degradations=lambda: [spec]), "labelled")[0]


def labelled_recipe(*settings):
    """Return the recipe of segmentation with settings as ``--set`` takes them."""
    return with_overrides(Recipe(name="labelled", tree=parse(RECIPE, "labelled")), settings)


def labelled_plan(*settings, catalog=None):
    """Return the bound recipe."""
    return bind(labelled_recipe(*settings), catalog or labelled_catalog())


def without(recipe, *keys):
    """Return a recipe without some of its tables."""
    return replace(recipe, tree={key: value for key, value in recipe.tree.items() if key not in keys})
