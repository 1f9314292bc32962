"""Finding the lost region: success rates on photographs, and hand-made pictures. About 20 s."""

from __future__ import annotations

import io as streams

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageDraw
from toolbox_plugins.default.lost_region import damage

from toolbox.color import integer_luma
from toolbox.data import sample
from toolbox.imaging import io
from toolbox.masks.lost_region import fill_value, find_lost_region, pair_mask

SHAPES = ("rectangle", "rectangle", "circle", "polygon")


def scene(height, width, seed=0):
    """Return a smooth colour picture with some grain."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 220, (6, 6, 3)).astype(np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(float)
    return np.clip(smooth + rng.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)


def painted(photo, level, draw):
    """Return the gray picture with a shape that `draw` paints (with fill=1), and the mask of the shape."""
    canvas = Image.new("L", photo.shape[1::-1])
    draw(ImageDraw.Draw(canvas))
    mask = np.asarray(canvas) > 0
    gray = np.array(Image.fromarray(photo).convert("L"))
    gray[mask] = level
    return gray, mask


def photos(shared, count, size):
    paths = sorted((shared / "photos" / "train").iterdir())
    for k in range(count):
        with Image.open(paths[k * len(paths) // count]) as image:
            width, height = image.size
            side = min(width, height)
            left, top = (width - side) // 2, (height - side) // 2
            square = image.convert("RGB").crop((left, top, left + side, top + side))
            yield k, np.asarray(square.resize((size, size), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(("size", "count"), [(128, 100), (256, 100), (512, 100)])
def test_success_rates_on_photographs(shared, size, count):
    covered = tight = false_alarms = pairs = 0
    exact = dict.fromkeys(SHAPES, 0)
    for k, photo in photos(shared, count, size):
        shape = SHAPES[k % 4]
        gray, mask = damage(photo, np.random.default_rng(k), **{name: float(name == shape) for name in SHAPES})
        found = find_lost_region(gray)
        covered += not (mask & ~found).any()
        tight += np.mean(found & ~mask) <= 0.001
        exact[shape] += np.array_equal(found, mask)
        false_alarms += find_lost_region(integer_luma(photo)).any()
        pair = pair_mask(gray, photo)
        pairs += pair is not None and np.count_nonzero(pair ^ mask) <= 0.0005 * mask.size
    assert covered >= 0.99 * count
    assert tight >= 0.99 * count
    assert exact["rectangle"] >= 0.98 * count / 2 and exact["circle"] >= 0.96 * count / 4
    assert false_alarms <= 0.02 * count
    assert pairs >= 0.99 * count


def test_all_pairs_of_the_benchmark(shared):
    folder = shared / "benchmarks" / "kodak24-damaged"
    names = sorted(path.name for path in (folder / "input").iterdir())
    for name in names:
        gray = np.asarray(Image.open(folder / "input" / name))
        truth = np.asarray(Image.open(folder / "truth" / name).convert("RGB"))
        mask = np.asarray(Image.open(folder / "masks" / name)) > 0
        found = find_lost_region(gray)
        assert not (mask & ~found).any(), name
        assert np.mean(found & ~mask) <= 0.001, name
        assert not find_lost_region(integer_luma(truth)).any(), name
        pair = pair_mask(gray, truth)
        assert not (pair & ~mask).any() and np.count_nonzero(mask & ~pair) <= 10, name
    assert len(names) == 24


@pytest.mark.parametrize("level", [0, 60, 255])
@pytest.mark.parametrize(
    "draw",
    [
        lambda draw: draw.rectangle((0, 40, 50, 90), fill=1),
        lambda draw: draw.rectangle((150, 160, 199, 199), fill=1),
        lambda draw: draw.rectangle((77, 31, 143, 59), fill=1),
        lambda draw: draw.ellipse((-20, 60, 40, 120), fill=1),
        lambda draw: draw.ellipse((90, 90, 150, 150), fill=1),
        lambda draw: draw.ellipse((160, 165, 210, 215), fill=1),
    ],
)
def test_rectangles_and_circles_are_exact_even_at_the_border(draw, level):
    gray, mask = painted(scene(200, 200), level, draw)
    assert np.array_equal(find_lost_region(gray), mask)


@pytest.mark.parametrize(
    "corners",
    [
        [(20, 20), (180, 20), (20, 180), (180, 180)],
        [(10, 100), (190, 90), (40, 30), (120, 180), (150, 20)],
        [(-40, 100), (100, 40), (90, 190)],
        [(100, 10), (40, 180), (190, 70), (10, 70), (160, 180)],
    ],
    ids=["bow tie", "crossing", "cut by the border", "star"],
)
def test_polygons_in_several_pieces(corners):
    gray, mask = painted(scene(200, 200), 30, lambda draw: draw.polygon(corners, fill=1))
    found = find_lost_region(gray)
    assert not (mask & ~found).any()
    assert np.mean(found & ~mask) <= 0.001


SQUARES = {"L": (1, 0, 0, 1, 1, 1), "T": (1, 1, 1, 0, 1, 0), "stairs": (1, 1, 0, 1, 0, 0), "notch": (1, 1, 1, 1, 0, 1)}


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("squares", SQUARES.values(), ids=SQUARES)
def test_a_shape_with_right_angles_is_found_as_a_whole(squares, level):
    def draw(canvas):
        for number, is_painted in enumerate(squares):
            x, y = 61 + 30 * (number % 3), 50 + 30 * (number // 3)
            canvas.rectangle((x, y, x + 29, y + 29), fill=is_painted)

    gray, mask = painted(scene(192, 256), level, draw)
    found = find_lost_region(gray)
    assert not (mask & ~found).any() and np.count_nonzero(found & ~mask) <= 0.01 * np.count_nonzero(mask)


def test_a_hollow_shape_is_found_as_a_whole():
    def draw(canvas):
        canvas.rectangle((61, 50, 121, 111), fill=1)
        canvas.rectangle((81, 70, 101, 91), fill=0)

    gray, mask = painted(scene(192, 256), 255, draw)
    assert np.array_equal(find_lost_region(gray), mask)


def test_neighbours_of_the_same_level_are_not_part_of_a_rectangle():
    photo = scene(200, 200)
    cv2.circle(photo, (125, 80), 12, (60, 60, 60), -1)
    gray, mask = painted(photo, 60, lambda draw: draw.rectangle((60, 60, 120, 140), fill=1))
    assert np.array_equal(find_lost_region(gray), mask)


def test_a_black_bar_is_not_lost_and_a_shape_of_the_same_level_is_found():
    photo = scene(240, 200)
    photo[:30] = photo[-30:] = 0
    assert not find_lost_region(integer_luma(photo)).any()
    gray, mask = painted(photo, 0, lambda draw: draw.rectangle((60, 90, 110, 130), fill=1))
    assert np.array_equal(find_lost_region(gray), mask)


def test_an_overexposed_sky_is_not_lost():
    photo = scene(256, 256)
    ramp = np.linspace(330, 80, 256)[:, None, None] + cv2.GaussianBlur(photo, (0, 0), 3) - 128.0
    sky = np.clip(ramp, 0, 255).astype(np.uint8)
    assert np.mean(integer_luma(sky) == 255) > 0.1
    assert not find_lost_region(integer_luma(sky)).any()
    gray, mask = painted(sky, 40, lambda draw: draw.ellipse((100, 20, 160, 80), fill=1))
    assert np.array_equal(find_lost_region(gray), mask)


@pytest.mark.parametrize("level", [0, 7, 255])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (3, 8), (8, 8), (64, 300)])
def test_a_constant_image_has_no_lost_region(size, level):
    assert not find_lost_region(np.full(size, level, np.uint8)).any()


def test_noise_has_no_lost_region():
    for seed in range(5):
        gray = np.random.default_rng(seed).integers(0, 256, (160, 120), dtype=np.uint8)
        assert not find_lost_region(gray).any()


@settings(max_examples=80, deadline=None)
@given(arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=24), elements=st.integers(0, 3)))
@example(np.array([[0, 0, 3, 0, 1], [0, 0, 0, 0, 0], [3, 0, 0, 0, 0]], np.uint8))  # too few pixels for lines
def test_the_mask_of_any_small_image_has_one_level(gray):
    mask = find_lost_region(gray)
    assert mask.shape == gray.shape and mask.dtype == bool
    assert len(np.unique(gray[mask])) <= 1


def test_holes_in_the_mask_of_a_pair_are_closed():
    photo = scene(120, 120)
    photo[50, 50] = photo[40, 45:48] = photo[30, 60] = 77
    gray, mask = painted(photo, 77, lambda draw: draw.rectangle((30, 30, 90, 80), fill=1))
    assert np.count_nonzero(gray[mask] == integer_luma(photo)[mask]) >= 5
    assert np.array_equal(pair_mask(gray, photo), mask)
    corners = [(20, 20), (100, 30), (90, 100), (25, 90)]
    photo[30, 60] = 78
    gray, mask = painted(photo, 77, lambda draw: draw.polygon(corners, fill=1))
    assert pair_mask(gray, photo)[50, 50] and pair_mask(gray, photo)[40, 46]
    assert not (pair_mask(gray, photo) & ~mask).any()


def test_an_undamaged_pair_has_an_empty_mask():
    photo = scene(50, 60)
    mask = pair_mask(integer_luma(photo), photo)
    assert mask.shape == (50, 60) and not mask.any()


def test_a_lossy_pair_has_no_pair_mask():
    photo = scene(160, 160)
    gray, mask = painted(photo, 20, lambda draw: draw.rectangle((30, 30, 70, 90), fill=1))
    _, packed = cv2.imencode(".jpg", gray, [cv2.IMWRITE_JPEG_QUALITY, 80])
    assert pair_mask(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), photo) is None
    brighter = np.clip(gray.astype(int) + np.where(mask, 0, 3), 0, 255).astype(np.uint8)
    assert pair_mask(brighter, photo) is None
    assert np.array_equal(find_lost_region(brighter), mask)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 6])
def test_flat_areas_of_a_photograph_with_few_levels_are_not_lost(bits):
    for seed in range(4):
        gray = integer_luma(cv2.GaussianBlur(scene(192, 256, seed), (0, 0), 3))
        few = np.rint((gray >> (8 - bits)) * (255 / ((1 << bits) - 1))).astype(np.uint8)
        assert not find_lost_region(few).any()


def count_found(copy):
    """Return in how many of the 30 sample photographs a lost region is found after `copy`, which changes a gray one."""
    photos = [integer_luma(io.read_rgb(path)) for path in io.find_images(sample.folder() / "photos")]
    assert len(photos) == 30
    return sum(bool(find_lost_region(np.ascontiguousarray(copy(gray))).any()) for gray in photos)


# Before the steps between flat areas were compared: 3, 7, 8 and 5.
@pytest.mark.parametrize(("levels", "most"), [(16, 0), (32, 1), (64, 3), (128, 2)])
def test_flat_areas_of_a_photograph_with_a_fitted_palette_are_rarely_lost(levels, most):
    assert count_found(lambda gray: Image.fromarray(gray).quantize(levels).convert("L")) <= most


@pytest.mark.parametrize("levels", [16, 32, 64])
def test_a_shape_that_stands_out_is_found_in_a_photograph_with_few_levels(levels):
    few = np.asarray(Image.fromarray(np.minimum(integer_luma(scene(192, 256)), 150)).quantize(levels).convert("L"))
    few = np.repeat(few[:, :, None], 3, 2)
    gray, mask = painted(few, 255, lambda draw: draw.rectangle((60, 50, 121, 111), fill=1))
    assert np.array_equal(find_lost_region(gray), mask)


def test_a_shape_on_a_photograph_with_stretched_contrast_is_found():
    gray, mask = painted(scene(192, 256), 250, lambda draw: draw.ellipse((60, 50, 121, 111), fill=1))
    stretched = np.clip((gray.astype(int) - 60) * 2, 0, 255).astype(np.uint8)
    assert np.array_equal(find_lost_region(stretched), mask)


def lossy(photo, quality):
    """Return the gray picture as it is after it was saved as a JPEG file, (H, W) uint8."""
    file = streams.BytesIO()
    Image.fromarray(photo).convert("L").save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("L"))


def small(gray):
    """Return a smaller copy, in which the blocks of a lossy copy are no squares of whole pixels."""
    return cv2.resize(gray, None, fx=0.77, fy=0.77, interpolation=cv2.INTER_AREA)


# Before the steps between flat areas were compared: 26, 26 and 5 at quality 20, 4, 4 and 2 at quality 40.
@pytest.mark.parametrize("change", [np.array, lambda gray: gray[3:, 3:], small], ids=["whole", "crop", "small"])
@pytest.mark.parametrize("quality", [20, 40])
def test_flat_blocks_of_a_lossy_copy_are_not_lost(quality, change):
    assert count_found(lambda gray: change(lossy(gray, quality))) == 0


@pytest.mark.parametrize("quality", [20, 50])
@pytest.mark.parametrize("box", [(64, 48, 127, 111), (61, 50, 121, 111)])
def test_a_shape_on_a_lossy_copy_is_found_also_on_the_grid_of_its_blocks(quality, box):
    smooth = lossy(cv2.GaussianBlur(scene(192, 256), (0, 0), 9), quality)
    gray, mask = painted(np.repeat(smooth[:, :, None], 3, 2), 255, lambda draw: draw.rectangle(box, fill=1))
    assert np.array_equal(find_lost_region(gray), mask)


def test_a_shape_on_a_dark_photograph_is_found():
    dark = (scene(192, 256) // 4).astype(np.uint8)  # all of its few levels are used
    gray, mask = painted(dark, 250, lambda draw: draw.rectangle((60, 50, 120, 110), fill=1))
    assert (find_lost_region(gray) == mask).all()


def test_the_fill_value_is_the_most_frequent_level_of_the_mask():
    gray = np.arange(16, dtype=np.uint8).reshape(4, 4)
    gray[1:3, 1:3] = 99
    mask = np.zeros((4, 4), bool)
    mask[1:3, 0:3] = True
    assert fill_value(gray, mask) == 99


@pytest.mark.parametrize(
    "call",
    [
        lambda: find_lost_region(np.zeros((4, 4, 3), np.uint8)),
        lambda: find_lost_region(np.zeros((4, 4), np.float32)),
        lambda: find_lost_region(np.zeros((0, 4), np.uint8)),
        lambda: fill_value(np.zeros((4, 4), np.uint8), np.zeros((4, 4), bool)),
        lambda: fill_value(np.zeros((4, 4), np.uint8), np.ones((4, 5), bool)),
        lambda: pair_mask(np.zeros((4, 4), np.uint8), np.zeros((4, 5, 3), np.uint8)),
    ],
)
def test_wrong_arrays_are_refused(call):
    with pytest.raises(ValueError, match="uint8|mask"):
        call()
