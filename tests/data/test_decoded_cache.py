"""The cache of decoded photographs: samples are the same with it, and it survives damage and full disks. Some 3 s."""

from __future__ import annotations

import errno
import json
import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from runs import run

from toolbox.cli import main
from toolbox.color import integer_luma
from toolbox.data import decoded_cache, folders, loader, preprocessing, sample
from toolbox.data.decoded_cache import open_cache
from toolbox.data.loader import Stream
from toolbox.errors import DataError
from toolbox.imaging import io
from toolbox.masks.lost_region import find_lost_region
from toolbox.utils import files, paths, temporary_files

SIDE = 48


@pytest.fixture
def photos(tmp_path):
    """Make four colour photographs of unequal sizes."""
    (tmp_path / "photos").mkdir()
    for number, path in enumerate(io.find_images(sample.folder() / "photos")[:4]):
        photo = io.read_rgb(path)[: 60 + 4 * number, : 90 - 7 * number]
        io.write_png(tmp_path / "photos" / f"{path.stem}.png", photo)
    return folders.open_folder(tmp_path / "photos").items


@pytest.fixture
def pairs(tmp_path):
    """Make three pairs: one like the competition's, one with another gray formula, one of another size."""
    for name in ("train_gt", "train_input"):
        (tmp_path / name).mkdir()
    for number, path in enumerate(io.find_images(sample.folder() / "photos")[:3]):
        truth = io.read_rgb(path)[: SIDE + 16 * (number == 2), :SIDE]
        gray = integer_luma(truth)
        if number == 1:
            gray = truth.mean(axis=2).astype(np.uint8)
        gray[8:28, 10:31] = 60
        io.write_png(tmp_path / "train_gt" / f"{number}.png", truth)
        io.write_png(tmp_path / "train_input" / f"{number}.png", gray)
    return folders.open_folder(tmp_path).items


def make_recipe(cache, size=SIDE, **settings):
    """Return a sample recipe with noise as damage and as augmentation."""

    def add_noise(sample, random):
        noise = random.integers(0, 3, dtype=np.uint8)
        return SimpleNamespace(image=sample.image ^ noise, mask=sample.mask, truth=sample.truth)

    return loader.SampleRecipe(size=size, seed=5, damage=(add_noise,), augment=(add_noise,), cache=cache, **settings)


def training_key(recipe):
    return recipe.preprocess_key(Stream.TRAIN)


def load_samples(items, recipe, stream=Stream.TRAIN):
    """Return the arrays of each sample, and the names of the pairs with another gray."""
    luma_mismatches = set()
    samples = [loader.load_sample(item, recipe, stream, 1, n, luma_mismatches) for n, item in enumerate(items)]
    return [[sample.image, sample.mask, sample.truth] for sample in samples], luma_mismatches


def entries():
    return sorted((paths.cache_dir() / "photos").glob("??/*.bin"))


def is_equal(actual, expected):
    """Return whether two results of `load_samples` are equal."""
    equal = [
        np.array_equal(a, b) and a.dtype == b.dtype
        for actual_arrays, expected_arrays in zip(actual[0], expected[0], strict=True)
        for a, b in zip(actual_arrays, expected_arrays, strict=True)
    ]
    return all(equal) and len(equal) > 0 and actual[1] == expected[1]


@pytest.mark.parametrize("zoom", [1.0, 1.6])
@pytest.mark.parametrize("stream", [Stream.TRAIN, Stream.VALIDATION])
@pytest.mark.parametrize("size", [48, 33])
def test_samples_are_the_same_with_and_without_the_cache(photos, pairs, size, stream, zoom):
    for items in (photos, pairs):
        expected = load_samples(items, make_recipe(None, size, zoom=zoom), stream)
        for _ in range(2):  # made, then read
            assert is_equal(load_samples(items, make_recipe(open_cache(), size, zoom=zoom), stream), expected)
    assert expected[1] == {"1.png"}
    assert len(entries()) == 7


def test_nothing_is_decoded_twice(pairs, monkeypatch):
    expected = load_samples(pairs, make_recipe(open_cache()))

    def refuse(*_):
        raise AssertionError("decoded or searched again")

    monkeypatch.setattr(preprocessing.io, "read_rgb", refuse)
    monkeypatch.setattr(preprocessing.lost_region, "pair_mask", refuse)
    assert is_equal(load_samples(pairs, make_recipe(open_cache())), expected)


def test_unchanged_files_are_not_read_to_find_their_entries(photos, monkeypatch):
    cache = open_cache()
    key = training_key(make_recipe(cache))
    list(preprocessing.fill_cache(photos, key, cache))
    monkeypatch.setattr(files, "sha256", None)
    reopened = open_cache()
    assert preprocessing.uncached_items(photos, key, reopened) == []
    assert len(load_samples(photos, make_recipe(reopened))[0]) == 4


def test_an_entry_depends_on_the_content_of_a_file_and_not_on_its_path(photos, tmp_path):
    recipe = make_recipe(open_cache())
    before = load_samples(photos, recipe)
    copy = tmp_path / "copy.png"
    shutil.copy(photos[0].truth, copy)
    load_samples([folders.Item(name="copy.png", truth=copy)], recipe)
    assert len(entries()) == 4
    state = photos[0].truth.stat()
    io.write_png(photos[0].truth, io.read_rgb(photos[1].truth))
    os.utime(photos[0].truth, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    after = load_samples(photos, recipe)
    assert is_equal(after, load_samples(photos, make_recipe(None))) and not is_equal(after, before)


def test_writing_into_loaded_arrays_does_not_change_the_cache(photos):
    recipe = make_recipe(open_cache())
    expected = preprocessing.load_arrays(photos[0], training_key(recipe))["truth"]
    for _ in range(2):
        loaded = preprocessing.load_arrays(photos[0], training_key(recipe), recipe.cache)["truth"]
        assert np.array_equal(loaded, expected)
        loaded[:] = 7


@pytest.mark.parametrize("damage", ["cut off", "bit", "header", "empty"])
def test_a_damaged_entry_is_replaced(photos, damage):
    expected = load_samples(photos[:1], make_recipe(open_cache()))
    (entry,) = entries()
    original = entry.read_bytes()
    damaged = {
        "cut off": original[:-1000],
        "bit": original[:-1000] + bytes([original[-1000] ^ 4]) + original[-999:],
        "header": original[:20] + b"\xff" * 8 + original[28:],
        "empty": b"",
    }[damage]
    entry.write_bytes(damaged)
    assert is_equal(load_samples(photos[:1], make_recipe(open_cache())), expected)
    assert entry.read_bytes() == original


def test_an_interrupted_start_leaves_complete_entries_and_is_continued(photos):
    cache = open_cache()
    key = training_key(make_recipe(cache))
    filling = preprocessing.fill_cache(photos, key, cache)
    next(filling)
    filling.close()
    # The temporary file of a process that was killed.
    temporary = temporary_files.temporary_path(entries()[0].parent / "entry.bin", pid=999999999)
    temporary.write_bytes(b"half")
    reopened = open_cache()
    assert not temporary.exists()
    missing = preprocessing.uncached_items(photos, key, reopened)
    assert len(missing) == 4 - len(entries()) < 4
    assert len(list(preprocessing.fill_cache(missing, key, reopened))) == len(missing)
    assert preprocessing.uncached_items(photos, key, open_cache()) == []


def test_with_a_full_disk_samples_are_still_loaded(photos, monkeypatch):
    cache = open_cache()
    expected = load_samples(photos, make_recipe(None))

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(decoded_cache.files.os, "fsync", full)
    assert is_equal(load_samples(photos, make_recipe(cache)), expected)
    assert len(cache.write_failures) == 1 and cache.write_failures[0].count("\n") == 0
    assert "No space left on the disk" in cache.write_failures[0]
    assert entries() == []


def test_some_space_is_left_free_and_a_run_says_so_once(photos, monkeypatch):
    free = SimpleNamespace(free=decoded_cache.MIN_FREE_BYTES)
    monkeypatch.setattr(decoded_cache.shutil, "disk_usage", lambda _: free)
    result = run("--size", 32, "--steps", 1, "--data", photos[0].truth.parent, "--out", "out")
    lines = [line for line in result.output.splitlines() if "No more decoded photographs are stored" in line]
    assert len(lines) == 1 and "less than 4 GiB" in lines[0]
    assert entries() == []


def test_an_unreadable_photograph_gives_the_same_error_as_without_the_cache(photos, tmp_path):
    broken = tmp_path / "photos" / "broken.png"
    broken.write_bytes(b"no image")
    missing = folders.Item(name="missing.png", truth=tmp_path / "missing.png")
    for item in (folders.Item(name="broken.png", truth=broken), missing):
        messages = []
        for cache in (None, open_cache()):
            with pytest.raises(DataError) as raised:
                loader.load_sample(item, make_recipe(cache), Stream.TRAIN)
            messages.append(str(raised.value))
        assert messages[0] == messages[1] and item.name in messages[0]


def test_damaged_digests_are_computed_again(photos):
    cache = open_cache()
    key = training_key(make_recipe(cache))
    list(preprocessing.fill_cache(photos, key, cache))
    (cache.folder / decoded_cache.DIGESTS).write_text(json.dumps({"a": 3}), "utf-8")
    reopened = open_cache()
    assert len(preprocessing.uncached_items(photos, key, reopened)) == 4
    times = [entry.stat().st_mtime_ns for entry in entries()]
    list(preprocessing.fill_cache(photos, key, reopened))
    assert [entry.stat().st_mtime_ns for entry in entries()] == times


def test_the_cached_mask_is_the_mask_of_the_pair(pairs):
    recipe = make_recipe(open_cache())
    for item in (pairs[0], pairs[1]):
        expected, _ = preprocessing.read_pair(item)
        for _ in range(2):  # made, then read
            arrays = preprocessing.load_arrays(item, training_key(recipe), recipe.cache)
            mask = np.unpackbits(arrays["mask"], count=SIDE * SIDE).reshape(SIDE, SIDE).astype(bool)
            assert np.array_equal(mask, expected.mask)
    assert np.array_equal(find_lost_region(io.read_gray(pairs[1].input)), mask)


@pytest.mark.parametrize("setting", ["true", "false"])
def test_a_run_fills_the_cache_if_the_recipe_has_it_enabled(photos, setting):
    options = ["--size", 32, "--steps", 1, "--data", photos[0].truth.parent, "--set", f"data.cache={setting}"]
    run(*options, "--out", "out")
    assert len(entries()) == (4 if setting == "true" else 0)


def test_doctor_prints_the_folder_and_its_size(photos):
    load_samples(photos, make_recipe(open_cache()))
    lines = CliRunner().invoke(main, ["doctor"]).output.splitlines()
    line = next(line for line in lines if " cache: " in line)
    assert str(paths.cache_dir()) in line and "GiB in 4 files; to clear: delete the folder" in line
