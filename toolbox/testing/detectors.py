"""The checks of a detector."""

from __future__ import annotations

import numpy as np

from toolbox.color import integer_luma
from toolbox.hooks.protocols import Detection
from toolbox.hooks.specs import DetectorSpec
from toolbox.testing import examples
from toolbox.testing.checks import Check, Note, global_random_state, require, run_checks, same_values
from toolbox.testing.subject import Subject


def check_detector(subject: Subject) -> list[Check]:
    """Run every check of a detector."""
    return run_checks(
        subject,
        [
            check_detection_format,
            check_probabilities,
            check_image_unchanged,
            check_same_detection,
            check_undamaged_image,
        ],
    )


def make_images() -> dict[str, np.ndarray]:
    """Return images of different kinds, down to one pixel: gray and colour, with and without damage."""
    photo = examples.photo(64, 48)
    painted = integer_luma(photo)
    painted[20:44, 10:30] = 200
    scratched = photo.copy()
    scratched[:, 20:22] = 255
    images = {
        "gray with a painted shape": painted,
        "colour with a scratch": scratched,
        "gray noise": np.random.default_rng(0).integers(0, 256, (33, 47), dtype=np.uint8),
        "black": np.zeros((40, 30), np.uint8),
        "white in colour": np.full((30, 40, 3), 255, np.uint8),
    }
    for height, width in ((1, 1), (1, 9), (5, 3)):
        images[f"{height}x{width} in colour"] = examples.photo(height, width)
        images[f"{height}x{width} in gray"] = integer_luma(examples.photo(height, width))
    return images


def check_detection_format(subject: Subject) -> str:
    """The result is a `Detection` with a bool mask of the image's size."""
    for name, image in make_images().items():
        result = subject.component(image)
        require(isinstance(result, Detection), f"it returned {type(result).__name__} for {name}; return a Detection")
        require(isinstance(result.mask, np.ndarray), f"the mask is {type(result.mask).__name__} for {name}")
        require(result.mask.dtype == bool, f"the mask is {result.mask.dtype} for {name}; it must be bool")
        require(result.mask.shape == image.shape[:2], f"the mask is {result.mask.shape} for {name}, {image.shape}")
    return f"right for {len(make_images())} kinds of images"


def check_probabilities(subject: Subject) -> str:
    """There is one probability map, float32 in [0, 1], for each kind that the spec names."""
    spec = subject.spec
    assert isinstance(spec, DetectorSpec)
    for name, image in make_images().items():
        maps = subject.component(image).probabilities
        require(
            set(maps) == set(spec.kinds), f"it gives {sorted(maps)} for {name}, and the spec's kinds are {spec.kinds}"
        )
        for kind, values in maps.items():
            is_map = isinstance(values, np.ndarray) and values.dtype == np.float32 and values.shape == image.shape[:2]
            require(is_map, f"the probabilities of {kind} are no float32 array of the size of {name}")
            in_range = bool(np.isfinite(values).all()) and values.min() >= 0 and values.max() <= 1
            require(in_range, f"the probabilities of {kind} leave [0, 1] for {name}")
    return f"in [0, 1] for {', '.join(spec.kinds)}" if spec.kinds else "the spec names no kinds"


def check_image_unchanged(subject: Subject) -> str:
    """The detector does not write into the image."""
    for name, image in make_images().items():
        expected = image.copy()
        subject.component(image)
        require(np.array_equal(image, expected), f"it writes into the image of {name}; work on a copy")
    return "unchanged"


def check_same_detection(subject: Subject) -> str:
    """The same image gives the same detection, without random numbers."""
    before = global_random_state()
    first = {name: subject.component(image).mask for name, image in make_images().items()}
    require(before == global_random_state(), "it draws random numbers; a detection must not depend on chance")
    for name, image in reversed(make_images().items()):
        require(same_values(first[name], subject.component(image).mask), f"{name} has another mask the second time")
    return "the same detection twice"


def check_undamaged_image(subject: Subject) -> str:
    """Nothing is lost in an image of one level."""
    share = max(float(subject.component(np.full((40, 40), level, np.uint8)).mask.mean()) for level in (0, 100, 255))
    return Note(f"{share:.0%} of an image of one level counts as lost") if share else "nothing lost in flat images"
