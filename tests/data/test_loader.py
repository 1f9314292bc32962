"""Samples and batches: random choices, crops, pairs, the order of an epoch."""

from __future__ import annotations

import numpy as np
from catalogs import default_catalog

from toolbox.color import integer_luma
from toolbox.data import folders, loader, preprocessing
from toolbox.imaging import io


def test_the_mask_of_a_pair_is_where_it_differs_from_the_luma(competition):
    source = folders.open_folder(competition)
    for item in source.items:
        pair, luma_mismatch = preprocessing.read_pair(item)
        assert not luma_mismatch
        truth = io.read_rgb(item.truth)
        assert (pair.image[:, :, 0] != integer_luma(truth))[~pair.mask].sum() == 0
        assert pair.mask.any()


def test_a_sample_depends_on_its_key_only(photos):
    items = folders.open_folder(photos).items
    spec = default_catalog().spec("degradation", "lost-region")
    recipe = loader.SampleRecipe(size=32, seed=7, damage=(spec.build(spec.params()),), augment=())
    first, same, next_epoch, next_index = (
        loader.load_sample(items[0], recipe, loader.Stream.TRAIN, epoch, index)
        for epoch, index in ((1, 0), (1, 0), (2, 0), (1, 6))
    )
    assert np.array_equal(first.image, same.image)
    assert not np.array_equal(first.image, next_epoch.image)
    assert not np.array_equal(first.image, next_index.image)


def test_training_crops_have_random_scales_up_to_the_zoom(tmp_path):
    # A ramp with one gray level for each pixel: the range of a crop shows its scale.
    ramp = np.repeat(np.arange(128, dtype=np.uint8)[None, :, None], 128, axis=0).repeat(3, axis=2)
    io.write_png(tmp_path / "ramp.png", ramp)
    item = folders.Item(name="ramp.png", input=None, truth=tmp_path / "ramp.png")

    def ranges(zoom, stream):
        recipe = loader.SampleRecipe(size=64, seed=3, zoom=zoom, damage=(), augment=())
        crops = [loader.load_sample(item, recipe, stream, 0, index).truth[0, :, 0] for index in range(40)]
        return np.array([int(crop[-1]) - int(crop[0]) for crop in crops])

    assert set(ranges(1.0, loader.Stream.TRAIN)) == set(ranges(3.0, loader.Stream.VALIDATION)) == {126}
    training = ranges(3.0, loader.Stream.TRAIN)
    assert 40 <= training.min() < 60 and training.max() > 110


def test_an_epoch_has_every_photograph_once_for_each_repeat():
    batches = loader.shuffled_batches(5, 3, 4, seed=1, epoch=2)
    keys = [key for batch in batches for key in batch]
    assert sorted(keys) == [(2, index) for index in range(15)]
    assert [len(batch) for batch in batches] == [4, 4, 4, 3]
    assert batches != loader.shuffled_batches(5, 3, 4, seed=1, epoch=3)


def test_a_pair_that_is_scaled_down_keeps_its_hole_complete_and_flat(tmp_path):
    truth = np.random.default_rng(0).integers(110, 255, (64, 64, 3), dtype=np.uint8)
    gray = integer_luma(truth)
    gray[10:31, 13:40] = 40
    io.write_png(tmp_path / "i.png", gray)
    io.write_png(tmp_path / "t.png", truth)
    item = folders.Item(name="i.png", input=tmp_path / "i.png", truth=tmp_path / "t.png")
    small = loader.load_sample(item, loader.SampleRecipe(size=32, seed=0, damage=(), augment=()), loader.Stream.TRAIN)
    assert small.image.shape == (32, 32, 3)
    assert set(np.unique(small.image[small.mask])) == {40}
    assert small.mask[5:16, 6:20].all() and small.mask.sum() == 11 * 14
    assert small.image[~small.mask].min() > 100
