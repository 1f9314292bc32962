"""The figures of variants: the best of the first few, and how far two are apart."""

from __future__ import annotations

import numpy as np

from benchmarks.variants import distance, summarize


def test_the_best_of_the_first_variants():
    distances = np.array([[10.0, 8.0, 12.0], [10.0, 14.0, 6.0]])
    figures = summarize(distances, np.array([[3.0, 5.0, 4.0], [1.0, 5.0, 6.0]]))
    assert figures["distance of each"] == [10, 11, 9]
    assert figures["distance of the best"] == {"2": 9, "3": 7}
    assert np.isclose(figures["nearer"]["3"], 0.3)
    assert figures["is the best"] == [0, 0.5, 0.5]
    assert (figures["distance of two"], figures["distance of the two that are nearest"]) == (4, 2)


def test_the_distance_is_euclidean_in_a_and_b():
    assert distance(np.zeros((2, 3, 2)), np.full((2, 3, 2), [3.0, 4.0])) == 5
