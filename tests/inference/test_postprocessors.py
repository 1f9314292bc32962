"""Post-processors through `toolbox restore`, recipes and `load_restorer`; the post-processor `match-grain`."""

from __future__ import annotations

import numpy as np
import pytest
from commands import invoke
from pictures import smooth
from toolbox_plugins.fills.grain import match_grain

import toolbox
from toolbox.config import recipe
from toolbox.config.binding import bind
from toolbox.errors import PluginError, RecipeError, UsageError
from toolbox.hooks import catalog as catalogs
from toolbox.hooks.catalog import Catalog, Entry
from toolbox.imaging import io
from toolbox.inference.postprocessors import LoadedPostprocessor, find_postprocessors, recipe_postprocessors

CATALOG = catalogs.load(third_party=False)
TINY = {"generator": {"name": "inpainting-unet", "width": 4, "levels": 2}, "losses": {"mse": {}}}


def invert(restored, original, mask, /):
    """Invert everything, in place."""
    restored[:] = 255 - restored
    return restored


def spec(*, changes_known):
    return toolbox.PostprocessorSpec(
        name="invert", summary="Invert", build=lambda params: invert, changes_known=changes_known
    )


def entry_of(spec):
    return Entry(kind="postprocessor", spec=spec, plugin="test", distribution="", version="")


def catalog_with(spec):
    """Return the catalog with a plugin's post-processor, as the hook toolbox_postprocessors gives it."""
    found = CATALOG.components["postprocessor"] | {spec.name: entry_of(spec)}
    return Catalog(components=CATALOG.components | {"postprocessor": found}, plugins=CATALOG.plugins)


def damaged():
    image = smooth(40, 60)
    mask = np.zeros(image.shape[:2], bool)
    mask[10:25, 20:40] = True
    return image, mask


@pytest.mark.parametrize("changes_known", [False, True])
def test_known_pixels_change_only_if_the_spec_says_so(tmp_path, monkeypatch, changes_known):
    catalog = catalog_with(spec(changes_known=changes_known))
    monkeypatch.setattr(catalogs, "load", lambda **options: catalog)
    image, mask = damaged()
    io.write_png(tmp_path / "a.png", image)
    io.write_png(tmp_path / "mask.png", mask.astype(np.uint8) * 255)
    words = ["restore", tmp_path / "a.png", "--mask", tmp_path / "mask.png", "--fill", "smooth", "--device", "cpu"]
    invoke(*words, "-o", tmp_path / "plain")
    invoke(*words, "-o", tmp_path / "post", "--post", "invert")
    invoke(*words, "-o", tmp_path / "twice", "--post", "invert", "--post", "invert")
    plain, post, twice = (io.read_rgb(tmp_path / folder / "a.png") for folder in ("plain", "post", "twice"))
    assert np.array_equal(post[mask], 255 - plain[mask]) and np.array_equal(twice, plain)
    assert np.array_equal(post[~mask], 255 - plain[~mask] if changes_known else plain[~mask])
    assert np.array_equal(toolbox.restore(image, mask, fill="smooth", post=["invert"], device="cpu"), post)


def test_a_recipe_names_its_postprocessors_in_order():
    catalog = catalog_with(spec(changes_known=True))
    tree = TINY | {"restoring": {"post": ["invert", {"name": "match-grain", "strength": 0.5}]}}
    plan = bind(recipe.Recipe(name="tiny", tree=tree), catalog)
    found = recipe_postprocessors(plan)
    assert [process.entry.spec.name for process in found] == ["invert", "match-grain"]
    assert [process.changes_known for process in found] == [True, False]
    assert bind(recipe.Recipe(name="tiny", tree=recipe.parse(recipe.dump(plan.tree()), "again")), catalog)
    assert recipe_postprocessors(bind(recipe.Recipe(name="tiny", tree=TINY), catalog)) == ()
    tree = TINY | {"restoring": {"post": [{"name": "match-grain", "strength": -1}]}}
    with pytest.raises(RecipeError, match=r"restoring\.post\.strength"):
        bind(recipe.Recipe(name="tiny", tree=tree), catalog)


def test_none_stands_for_no_postprocessor():
    assert find_postprocessors(["none"], CATALOG) == ()
    with pytest.raises(UsageError, match="Postprocessor 'grain' is not known.*match-grain"):
        find_postprocessors(["grain"], CATALOG)
    with pytest.raises(ValueError, match="stands for none"):
        toolbox.PostprocessorSpec(name="none", summary="No", build=lambda params: None)


def test_a_postprocessor_that_breaks_the_contract_is_reported():
    image, mask = damaged()
    broken = LoadedPostprocessor(process=lambda *arrays: arrays[0][:-1], entry=entry_of(spec(changes_known=False)))
    with pytest.raises(PluginError, match="Postprocessor 'invert' of the plugin 'test'.*returned uint8"):
        broken(image, image, mask)


@pytest.mark.parametrize("scale", [1, 257])
def test_match_grain_gives_the_lost_region_the_grain_around_it(scale):
    random = np.random.default_rng(0)
    noise = random.normal(0, 6, (120, 120))
    mask = np.zeros(noise.shape, bool)
    mask[40:80, 40:80] = True
    noise[mask] = 0
    flat = np.repeat((128 + noise)[..., None], 3, axis=2)
    image = np.rint(flat * scale).clip(0, 255 * scale).astype(np.uint8 if scale == 1 else np.uint16)
    result = match_grain(image, mask, 1.0)
    inside, outside = (result[..., 1][part].std() / scale for part in (mask, ~mask))
    assert 0.9 < inside / outside < 1.1
    assert np.array_equal(result[~mask], image[~mask]) and (np.ptp(result, axis=2) == 0).all()
    assert np.array_equal(match_grain(image, mask, 0.0), image)
    # A fill that has the grain already stays as it is.
    assert np.abs(match_grain(result, mask, 1.0).astype(int) - result).mean() < 0.2 * 6 * scale
