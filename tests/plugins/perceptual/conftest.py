"""Fixtures of the perceptual bundle's tests."""

from __future__ import annotations

import cv2
import pytest
import torch
from catalogs import DEFAULT, registries

from toolbox.config import binding, recipe
from toolbox.hooks import catalog, manager
from toolbox.hooks.registry import Bundle
from toolbox.models.build import build_component

BUNDLE = Bundle(name="perceptual", module="toolbox_plugins.perceptual.plugin")


@pytest.fixture(scope="session")
def perceptual_catalog():
    return catalog.build(manager.load(third_party=False, registries=registries(DEFAULT, BUNDLE)))


@pytest.fixture(scope="session")
def build_loss(perceptual_catalog):
    """Build a loss by its name and params as a run does: bind a recipe, then build."""

    def build(name, **params):
        tree = {"generator": {"name": "inpainting-unet"}, "losses": {name: params}}
        (loss,) = binding.bind(recipe.Recipe(name="test", tree=tree), perceptual_catalog).losses
        torch.manual_seed(0)
        return build_component(loss)

    return build


@pytest.fixture(scope="session")
def real_photos(shared):
    """Return twelve real photographs, (256, 256, 3) uint8 RGB."""
    files = sorted((shared / "photos" / "train").iterdir())[::64][:12]
    return [cv2.imread(str(file))[:256, :256, ::-1].copy() for file in files]
