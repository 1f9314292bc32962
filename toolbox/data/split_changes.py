"""What has changed between two lists of photographs, each with its name and its identity (a digest of its content)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from toolbox.utils import files


def find_changes(before: Sequence[tuple[str, str]], after: Sequence[tuple[str, str]]) -> list[str]:
    """Return a phrase for each kind of change of photographs, given as names with identities.

    To rename or to move them is no change.
    """
    lost, gained = _names_without(before, after), _names_without(after, before)
    other_endings = by_stem(name for name in gained if name not in lost)
    converted = [name for name in lost if name not in gained and Path(name).stem in other_endings]
    replaced = {other_endings[Path(name).stem] for name in converted}
    kinds = (
        ("missing", [name for name in lost if name not in gained and name not in converted]),
        ("new", sorted(name for name in gained if name not in lost and name not in replaced)),
        ("with other content", sorted(name for name in gained if name in lost)),
        ("with another ending", sorted(replaced)),
    )
    return [f"{len(found)} {kind} ({files.listed(found)})" for kind, found in kinds if found]


def _names_without(pairs: Sequence[tuple[str, str]], others: Sequence[tuple[str, str]]) -> list[str]:
    """Return the names of the photographs in `pairs` whose content is not, or not as often, in `others`."""
    spare = Counter(identity for _, identity in others)
    found = []
    for index in sorted(range(len(pairs)), key=lambda index: pairs[index] not in others):  # those that stayed first
        identity = pairs[index][1]
        if spare[identity]:
            spare[identity] -= 1
        else:
            found.append(index)
    return [pairs[index][0] for index in sorted(found)]


def by_stem(names: Iterable[str]) -> dict[str, str]:
    """Return the names by their stems, without the stems that several of them have."""
    listed = list(names)
    stems = Counter(Path(name).stem for name in listed)
    return {Path(name).stem: name for name in listed if stems[Path(name).stem] == 1}
