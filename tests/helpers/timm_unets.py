"""What the tests of the timm-unet bundle share."""

from __future__ import annotations

import torch
from catalogs import DEFAULT, registries
from toolbox_plugins.timm_unet.plugin import TimmUNetParams, build_timm_unet
from torch import Tensor, nn

from toolbox.config import binding, recipe
from toolbox.config.plan import Plan
from toolbox.hooks import catalog, manager
from toolbox.hooks.catalog import Catalog
from toolbox.hooks.registry import Bundle

BUNDLE = Bundle(name="timm_unet", module="toolbox_plugins.timm_unet.plugin")
SMALL = "test_efficientnet"
LITE = "tf_efficientnet_lite0"


def load_catalog() -> Catalog:
    """Return the catalog of the default bundle and of timm_unet."""
    return catalog.build(manager.load(third_party=False, registries=registries(DEFAULT, BUNDLE)))


def bind_recipe(loaded: Catalog, *overrides: str) -> Plan:
    """Return the plan of the recipe `timm-unet` with overrides as ``--set`` takes them."""
    return binding.bind(recipe.read("timm-unet", lambda name: loaded.recipe(name).path, overrides), loaded)


def build(**params: object) -> nn.Module:
    """Build a small generator from a fixed seed."""
    torch.manual_seed(0)
    return build_timm_unet(TimmUNetParams(**({"backbone": SMALL, "decoder": (32, 24, 16, 8, 8)} | params)))


def make_inputs(height: int = 64, width: int = 96, count: int = 2) -> tuple[Tensor, Tensor]:
    """Return random images (B, 3, H, W) and masks (B, 1, H, W)."""
    random = torch.Generator().manual_seed(1)
    image = torch.rand(count, 3, height, width, generator=random)
    return image, (torch.rand(count, 1, height, width, generator=random) > 0.7).float()
