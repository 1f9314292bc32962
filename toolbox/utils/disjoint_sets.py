"""Groups of things that belong together, directly or through others."""

from __future__ import annotations


class DisjointSets:
    """The indices 0 to `count` - 1, each in a group of its own until groups are joined.

    Reference: Galler and Fischer, "An improved equivalence algorithm", CACM 1964.
    """

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def label(self, index: int) -> int:
        """Return the label of the group of an index: its lowest index."""
        parent = self._parent
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    def join(self, first: int, second: int) -> None:
        """Join the groups of two indices."""
        a, b = self.label(first), self.label(second)
        self._parent[max(a, b)] = min(a, b)

    def labels(self) -> list[int]:
        """Return the label of the group of each index."""
        return [self.label(index) for index in range(len(self._parent))]
