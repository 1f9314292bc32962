"""The checks of a filler."""

from __future__ import annotations

import numpy as np

from toolbox.color import integer_luma
from toolbox.testing import examples
from toolbox.testing.checks import (
    Check,
    Note,
    global_random_state,
    require,
    require_comparable,
    run_checks,
    same_values,
)
from toolbox.testing.subject import Subject

Damaged = tuple[np.ndarray, np.ndarray]


def check_filler(subject: Subject) -> list[Check]:
    """Run every check of a filler."""
    return run_checks(
        subject,
        [
            check_result_format,
            check_known_pixels,
            check_lost_values,
            check_inputs_unchanged,
            check_repeatable_result,
            check_flat_image,
        ],
    )


def make_damaged() -> dict[str, Damaged]:
    """Return images and masks of different kinds, down to one pixel: gray and colour, 8 and 16 bits."""
    cases = {
        "gray with a hole in the middle": _damage(48, 40, slice(16, 30), slice(12, 26)),
        "colour with a hole at a corner": _damage(33, 47, slice(0, 12), slice(30, 47), color=True),
        "16-bit gray with a line across it": _damage(40, 40, slice(0, 40), slice(20, 22), depth=np.uint16),
        "16-bit colour with a hole at the left": _damage(
            24, 30, slice(4, 16), slice(0, 8), color=True, depth=np.uint16
        ),
        "gray with nothing lost": _damage(9, 7, slice(0, 0), slice(0, 0)),
        "colour with one known pixel": _damage(12, 9, slice(0, 12), slice(0, 9), color=True),
        "gray, lost completely": _damage(20, 16, slice(0, 20), slice(0, 16)),
    }
    cases["colour with one known pixel"][1][5, 5] = False
    for height, width in ((1, 1), (1, 9), (5, 3)):
        cases[f"{height}x{width}, lost completely"] = _damage(height, width, slice(0, height), slice(0, width))
        cases[f"{height}x{width} in colour, one column lost"] = _damage(
            height, width, slice(0, height), slice(0, 1), color=True
        )
    return cases


def _damage(
    height: int, width: int, rows: slice, columns: slice, *, color: bool = False, depth: type[np.generic] = np.uint8
) -> Damaged:
    rgb = examples.photo(height, width)
    image = rgb if color else integer_luma(rgb)
    if depth is np.uint16:
        image = image.astype(np.uint16) * 257
    mask = np.zeros((height, width), bool)
    mask[rows, columns] = True
    image[mask] = 0
    return image, mask


def check_result_format(subject: Subject) -> str:
    """The result is an array of the shape and dtype of the image, for every kind of image and hole."""
    for name, (image, mask) in make_damaged().items():
        result = subject.component(image, mask, seed=0)
        require(isinstance(result, np.ndarray), f"it returned {type(result).__name__} for {name}; return a numpy array")
        require(result.dtype == image.dtype, f"it returned {result.dtype} for {name}, which is {image.dtype}")
        require(result.shape == image.shape, f"it returned {result.shape} for {name}, which is {image.shape}")
    return f"right for {len(make_damaged())} kinds of images and holes"


def check_known_pixels(subject: Subject) -> str:
    """Known pixels are those of the image, bit for bit."""
    for name, (image, mask) in make_damaged().items():
        result = subject.component(image, mask, seed=0)
        changed = int((result != image)[~mask].sum())
        require(not changed, f"it changes {changed} known values of {name}; write only where mask is True")
    return "unchanged, bit for bit"


def check_lost_values(subject: Subject) -> str:
    """The values under the mask do not matter: a mask that is drawn by hand may cover any values."""
    for name, (image, mask) in make_damaged().items():
        results = []
        for level in (0, np.iinfo(image.dtype).max):
            image[mask] = level
            results.append(subject.component(image, mask, seed=0))
        require(same_values(*results), f"the result depends on the values under the mask of {name}; ignore them")
    return "they do not matter"


def check_inputs_unchanged(subject: Subject) -> str:
    """The filler does not write into its inputs."""
    for name, (image, mask) in make_damaged().items():
        expected = image.copy(), mask.copy()
        subject.component(image, mask, seed=0)
        for field, array, unchanged in zip(("image", "mask"), (image, mask), expected, strict=True):
            require(np.array_equal(array, unchanged), f"it writes into the {field} of {name}; work on a copy")
    return "unchanged"


def check_repeatable_result(subject: Subject) -> str:
    """The same image, mask and seed give the same result, whatever was filled before."""
    before = global_random_state()
    first = {name: subject.component(*case, seed=3) for name, case in make_damaged().items()}
    require(before == global_random_state(), "it draws from the global random numbers; draw only from `seed`")
    for name, case in reversed(make_damaged().items()):
        require(same_values(first[name], subject.component(*case, seed=3)), f"{name} is filled differently again")
    return "the same result twice"


def check_flat_image(subject: Subject) -> str:
    """The hole in an image of one level is filled with about this level."""
    mask = np.zeros((40, 40), bool)
    mask[14:26, 10:24] = True
    for level in (0, 100, 255):
        result = subject.component(np.where(mask, 0, level).astype(np.uint8), mask, seed=0)
        require_comparable(result)
        difference = int(np.abs(result.astype(int) - level).max())
        if difference > 2:
            return Note(
                f"a hole in an image of the level {level} is filled with up to {difference} levels more or less"
            )
    return "filled with its level"
