"""Drill: every optimizer of timm and torch in the bundle keeps the contract and can be resumed. Some 5 minutes."""

from __future__ import annotations

import pytest
from timm.optim import list_optimizers
from toolbox_plugins.optimizers.families import REFUSED
from toolbox_plugins.optimizers.plugin import TorchParams, toolbox_optimizers

from toolbox.hooks import catalog
from toolbox.testing import check_component

SPECS = {spec.name: spec for spec in toolbox_optimizers()}
TIMM = [name for name in map(str, list_optimizers(exclude_filters=["bnb*", "fused*"])) if name not in REFUSED]
TORCH = TorchParams.model_fields["kind"].annotation.__args__
CASES = [("timm-optimizer", kind) for kind in TIMM] + [("torch-optimizer", kind) for kind in TORCH]


@pytest.fixture(scope="module")
def installed():
    return catalog.load(third_party=False)


@pytest.mark.drill
@pytest.mark.filterwarnings("ignore")  # timm's own
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_an_optimizer_of_the_bundle_keeps_the_contract(installed, name, kind):
    failed = [check for check in check_component(SPECS[name], {"kind": kind}, installed) if check.status == "failed"]
    assert not failed
