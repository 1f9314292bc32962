"""The index of many references finds the scene again, from the cache too. About 3 s."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import scene, second_photo, square_hole

from toolbox.color import integer_luma
from toolbox.guidance.photo_index import PhotoIndex, describe, draw_vocabulary, quantize
from toolbox.imaging import io
from toolbox.inference import reference_index
from toolbox.inference.reference_index import build_index

SIDE = 200
HOLE = square_hole(SIDE, 60, 110)


def photos(count):
    return [scene(seed, SIDE) for seed in range(count)]


def test_the_same_scene_comes_first():
    descriptors = [describe(integer_luma(photo)) for photo in photos(12)]
    vocabulary = draw_vocabulary(descriptors, 512)
    index = PhotoIndex(vocabulary=vocabulary, words=tuple(quantize(found, vocabulary) for found in descriptors))
    for seed in (0, 5, 11):
        gray = integer_luma(second_photo(scene(seed, SIDE), angle=8, gamma=1.2, quality=80))
        gray[HOLE] = 99
        assert index.find(describe(gray, HOLE), 3)[0] == seed


def test_no_descriptor_and_no_photograph_find_nothing():
    empty = describe(np.full((40, 40), 90, np.uint8))
    assert empty.shape == (0, 128)
    assert PhotoIndex(vocabulary=empty, words=()).find(empty, 5) == []
    index = PhotoIndex(vocabulary=draw_vocabulary([empty]), words=(quantize(empty, empty),))
    assert index.find(describe(integer_luma(scene(0, SIDE))), 5) == []


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TOOLBOX_CACHE", str(tmp_path / "cache"))
    (tmp_path / "photos").mkdir()
    paths = [tmp_path / "photos" / f"{number}.png" for number in range(4)]
    for path, photo in zip(paths, photos(3), strict=False):
        io.write_png(path, photo)
    paths[3].write_bytes(b"no image")
    return paths


def test_the_index_is_read_from_the_cache(folder, monkeypatch):
    first = build_index(folder)
    reads = []
    original = io.read

    def read(path, **options):
        reads.append(path)
        return original(path, **options)

    monkeypatch.setattr(reference_index.io, "read", read)
    second = build_index(folder)
    assert not reads
    assert all(np.array_equal(a, b) for a, b in zip(first.index.words, second.index.words, strict=True))
    io.write_png(folder[3], scene(7, SIDE))
    third = build_index(folder)
    assert reads == [folder[3]]
    assert len(third.index.words[3]) and not len(second.index.words[3])
    gray = integer_luma(second_photo(scene(7, SIDE)))
    assert folder[3] in third.candidates(gray, np.zeros(gray.shape, bool))


def test_words_are_drawn_again_when_most_photographs_are_new(folder):
    old = build_index(folder[:1])
    new = build_index(folder)
    assert len(new.index.vocabulary) > len(old.index.vocabulary)


def test_a_damaged_cache_is_made_again(folder, tmp_path):
    build_index(folder)
    (cached,) = (tmp_path / "cache" / "references").iterdir()
    cached.write_bytes(b"damaged")
    assert len(build_index(folder).index.words[0])
    assert cached.stat().st_size > 1000
