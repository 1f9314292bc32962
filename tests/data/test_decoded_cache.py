"""The cache of decoded photographs: the same samples with it, and what happens to it. Some 3 s."""

from __future__ import annotations

import errno
import json
import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from toolbox.cli import main
from toolbox.color import integer_luma
from toolbox.data import decoded_cache, folders, loader, preprocessing, sample
from toolbox.errors import DataError
from toolbox.imaging import io
from toolbox.masks.lost_region import find_lost_region
from toolbox.utils import files, paths


@pytest.fixture
def photos(tmp_path):
    """Lay out four colour photographs of unequal sizes."""
    (tmp_path / "photos").mkdir()
    for number, path in enumerate(io.find_images(sample.folder() / "photos")[:4]):
        photo = io.read_rgb(path)[: 60 + 4 * number, : 90 - 7 * number]
        io.write_png(tmp_path / "photos" / f"{path.stem}.png", photo)
    return folders.open_folder(tmp_path / "photos").items


@pytest.fixture
def pairs(tmp_path):
    """Lay out pairs: one as the competition has them, one of another gray, one of another size."""
    for number, path in enumerate(io.find_images(sample.folder() / "photos")[:3]):
        truth = io.read_rgb(path)[: 48 + 16 * (number == 2), :48]
        gray = integer_luma(truth)
        if number == 1:
            gray = truth.mean(axis=2).astype(np.uint8)
        gray[8:28, 10:31] = 60
        io.write_png(_made(tmp_path / "train_gt") / f"{number}.png", truth)
        io.write_png(_made(tmp_path / "train_input") / f"{number}.png", gray)
    return folders.open_folder(tmp_path).items


def _made(folder):
    folder.mkdir(exist_ok=True)
    return folder


def recipe(kept, size=48, **settings):
    def noisy(one, random):
        return SimpleNamespace(image=one.image ^ random.integers(0, 3, dtype=np.uint8), mask=one.mask, truth=one.truth)

    return loader.SampleRecipe(size=size, seed=5, damage=(noisy,), augment=(noisy,), cache=kept, **settings)


def samples(items, how, stream=loader.Stream.TRAIN):
    luma_mismatches = set()
    loaded = [loader.load_sample(item, how, stream, 1, n, luma_mismatches) for n, item in enumerate(items)]
    return [[one.image, one.mask, one.truth] for one in loaded], luma_mismatches


def entries():
    return sorted((paths.cache_dir() / "photos").glob("??/*.bin"))


def equal(one, other):
    (arrays, luma_mismatches), (wanted, wanted_unlike) = one, other
    same = [
        np.array_equal(a, b) and a.dtype == b.dtype
        for x, y in zip(arrays, wanted, strict=True)
        for a, b in zip(x, y, strict=True)
    ]
    return all(same) and len(same) > 0 and luma_mismatches == wanted_unlike


@pytest.mark.parametrize("zoom", [1.0, 1.6])
@pytest.mark.parametrize("stream", [loader.Stream.TRAIN, loader.Stream.VALIDATION])
@pytest.mark.parametrize("size", [48, 33])
def test_samples_are_the_same_with_and_without(photos, pairs, size, stream, zoom):
    for items in (photos, pairs):
        plain = samples(items, recipe(None, size, zoom=zoom), stream)
        for _ in range(2):  # made, then read
            assert equal(samples(items, recipe(decoded_cache.open_cache(), size, zoom=zoom), stream), plain)
    assert plain[1] == {"1.png"}
    assert len(entries()) == 7


def test_nothing_is_decoded_twice(pairs, monkeypatch):
    first = samples(pairs, recipe(decoded_cache.open_cache()))

    def refuse(*_):
        raise AssertionError("decoded or searched again")

    monkeypatch.setattr(preprocessing.io, "read_rgb", refuse)
    monkeypatch.setattr(preprocessing.lost_region, "pair_mask", refuse)
    assert equal(samples(pairs, recipe(decoded_cache.open_cache())), first)


def test_files_are_known_again_without_reading_them(photos, monkeypatch):
    kept = decoded_cache.open_cache()
    how = recipe(kept)
    list(preprocessing.fill_cache(photos, how.form(loader.Stream.TRAIN), kept))
    monkeypatch.setattr(files, "sha256", None)
    again = decoded_cache.open_cache()
    assert preprocessing.missing(photos, how.form(loader.Stream.TRAIN), again) == []
    assert len(samples(photos, recipe(again))[0]) == 4


def test_another_content_is_another_entry_and_the_same_content_elsewhere_is_not(photos, tmp_path):
    how = recipe(decoded_cache.open_cache())
    before = samples(photos, how)
    copied = tmp_path / "copied.png"
    shutil.copy(photos[0].truth, copied)
    samples([folders.Item(name="copied.png", truth=copied)], how)
    assert len(entries()) == 4
    state = photos[0].truth.stat()
    io.write_png(photos[0].truth, io.read_rgb(photos[1].truth))
    os.utime(photos[0].truth, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    after = samples(photos, how)
    assert equal(after, samples(photos, recipe(None))) and not equal(after, before)


def test_what_a_degradation_writes_changes_nothing_kept(photos):
    how = recipe(decoded_cache.open_cache())
    form = how.form(loader.Stream.TRAIN)
    wanted = preprocessing.load(photos[0], form)["truth"]
    for _ in range(2):
        kept = preprocessing.load(photos[0], form, how.cache)["truth"]
        assert np.array_equal(kept, wanted)
        kept[:] = 7


@pytest.mark.parametrize("harm", ["cut", "bit", "head", "empty"])
def test_a_damaged_entry_is_made_anew(photos, harm):
    plain = samples(photos[:1], recipe(decoded_cache.open_cache()))
    (entry,) = entries()
    whole = entry.read_bytes()
    hurt = {
        "cut": whole[:-1000],
        "bit": whole[:-1000] + bytes([whole[-1000] ^ 4]) + whole[-999:],
        "head": whole[:20] + b"\xff" * 8 + whole[28:],
        "empty": b"",
    }[harm]
    entry.write_bytes(hurt)
    assert equal(samples(photos[:1], recipe(decoded_cache.open_cache())), plain)
    assert entry.read_bytes() == whole


def test_an_interrupted_start_leaves_whole_entries_and_goes_on(photos):
    kept = decoded_cache.open_cache()
    form = recipe(kept).form(loader.Stream.TRAIN)
    making = preprocessing.fill_cache(photos, form, kept)
    next(making)
    making.close()
    aside = files.temporary_path(entries()[0].parent / "entry.bin", pid=999999999)  # of a process that was killed
    aside.write_bytes(b"half")
    again = decoded_cache.open_cache()
    assert not aside.exists()
    left = preprocessing.missing(photos, form, again)
    assert len(left) == 4 - len(entries()) < 4
    assert len(list(preprocessing.fill_cache(left, form, again))) == len(left)
    assert preprocessing.missing(photos, form, decoded_cache.open_cache()) == []


def test_a_full_disk_costs_time_alone(photos, monkeypatch):
    kept = decoded_cache.open_cache()
    plain = samples(photos, recipe(None))

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(decoded_cache.files.os, "fsync", full)
    assert equal(samples(photos, recipe(kept)), plain)
    assert len(kept.trouble) == 1 and kept.trouble[0].count("\n") == 0
    assert "No space left on the disk" in kept.trouble[0]
    assert entries() == []


def test_room_is_left_on_the_disk_and_a_run_says_so_once(photos, monkeypatch):
    monkeypatch.setattr(decoded_cache.shutil, "disk_usage", lambda _: SimpleNamespace(free=decoded_cache.SPARE))
    options = ["--set", "generator.width=4", "--set", "discriminator.width=4", "--device", "cpu", "--size", "32"]
    folder = str(photos[0].truth.parent)
    result = CliRunner().invoke(main, ["run", *options, "--steps", "1", "--data", folder, "--out", "out"])
    assert result.exit_code == 0, result.output
    said = [line for line in result.output.splitlines() if "Decoded photographs are kept no further" in line]
    assert len(said) == 1 and "less than 4 GiB" in said[0]
    assert entries() == []


def test_a_photograph_that_cannot_be_read_is_named_as_without(photos, tmp_path):
    broken = tmp_path / "photos" / "broken.png"
    broken.write_bytes(b"no image")
    gone = folders.Item(name="gone.png", truth=tmp_path / "gone.png")
    for item in (folders.Item(name="broken.png", truth=broken), gone):
        said = []
        for kept in (None, decoded_cache.open_cache()):
            with pytest.raises(DataError) as raised:
                loader.load_sample(item, recipe(kept), loader.Stream.TRAIN)
            said.append(str(raised.value))
        assert said[0] == said[1] and item.name in said[0]


def test_digests_that_are_damaged_are_computed_again(photos):
    kept = decoded_cache.open_cache()
    form = recipe(kept).form(loader.Stream.TRAIN)
    list(preprocessing.fill_cache(photos, form, kept))
    (kept.folder / decoded_cache.DIGESTS).write_text(json.dumps({"a": 3}), "utf-8")
    again = decoded_cache.open_cache()
    assert len(preprocessing.missing(photos, form, again)) == 4
    names = [entry.stat().st_mtime_ns for entry in entries()]
    list(preprocessing.fill_cache(photos, form, again))
    assert [entry.stat().st_mtime_ns for entry in entries()] == names


def test_the_mask_kept_is_the_pairs_own(pairs):
    how = recipe(decoded_cache.open_cache())
    form = how.form(loader.Stream.TRAIN)
    for item in (pairs[0], pairs[1]):
        wanted, _ = preprocessing.prepare_pair(item)
        preprocessing.load(item, form, how.cache)
        kept = preprocessing.load(item, form, how.cache)
        mask = np.unpackbits(kept["mask"], count=48 * 48).reshape(48, 48).astype(bool)
        assert np.array_equal(mask, wanted.mask)
    assert np.array_equal(find_lost_region(io.read_gray(pairs[1].input)), mask)


@pytest.mark.parametrize("setting", ["true", "false"])
def test_a_run_fills_it_if_the_recipe_says_so(photos, setting):
    options = ["--set", "generator.width=4", "--set", "discriminator.width=4", "--device", "cpu", "--size", "32"]
    options += ["--steps", "1", "--data", str(photos[0].truth.parent), "--set", f"data.cache={setting}"]
    result = CliRunner().invoke(main, ["run", *options, "--out", "out"])
    assert result.exit_code == 0, result.output
    assert len(entries()) == (4 if setting == "true" else 0)


def test_doctor_says_where_and_how_large(photos):
    samples(photos, recipe(decoded_cache.open_cache()))
    line = next(x for x in CliRunner().invoke(main, ["doctor"]).output.splitlines() if " cache: " in x)
    assert str(paths.cache_dir()) in line and "GiB in 4 files; to clear: delete the folder" in line
