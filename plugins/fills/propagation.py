"""Choose one of a few labels for each pixel so that the sum of costs is small: belief propagation on a grid."""

from __future__ import annotations

import numpy as np

from .costs import NEVER

# Rounds of messages with all labels, how many labels a pixel keeps, rounds with those, and descents at the end.
FIRST = 8
KEPT = 16
ROUNDS = 80
DESCENTS = 5
MOVES = ((0, 1), (0, -1), (1, 0), (-1, 0))
OPPOSITE = (1, 0, 3, 2)


def propagated(costs: np.ndarray, seams: np.ndarray, neighbours: list[np.ndarray], colour: np.ndarray) -> np.ndarray:
    """Return the offset's number of each pixel (n,), by min-sum belief propagation.

    A few rounds with all offsets choose the KEPT most likely ones of each pixel; many rounds follow with those alone.
    """
    count, labels = costs.shape
    every = np.broadcast_to(np.arange(labels), (count, labels))
    beliefs, _ = _rounds(costs, seams, neighbours, colour, every, FIRST)
    kept = np.sort(np.argsort(beliefs, axis=1, kind="stable")[:, :KEPT], axis=1)
    beliefs, edges = _rounds(np.take_along_axis(costs, kept, 1), seams, neighbours, colour, kept, ROUNDS)
    chosen = beliefs.argmin(1)
    few = np.take_along_axis(costs, kept, 1)
    for now in (0, 1) * DESCENTS:
        energy = few.copy()
        for to, sender, cost in edges:
            energy[to] += cost[np.arange(len(to)), :, chosen[sender]]
        active = colour == now
        chosen[active] = energy.argmin(1)[active]
    return kept[np.arange(count), chosen]


def _rounds(
    costs: np.ndarray,
    seams: np.ndarray,
    neighbours: list[np.ndarray],
    colour: np.ndarray,
    kept: np.ndarray,
    rounds: int,
) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    """Return the beliefs (n, k) after so many rounds, and by direction the edges: to, from, and cost (m, k, k).

    Messages go to the two colours of a chessboard in turn, and are averaged with the last ones.
    """
    count, labels = kept.shape
    edges = []
    for beside in neighbours:
        to = np.flatnonzero(beside < count)
        sender = beside[to]
        own, other = kept[to][:, :, None], kept[sender][:, None, :]
        cost = seams[to[:, None, None], own, other] + seams[sender[:, None, None], own, other]
        edges.append((to, sender, cost))
    messages = np.zeros((4, count + 1, labels), np.float32)
    for number in range(2 * rounds):
        for direction, (to, sender, cost) in enumerate(edges):
            active = np.flatnonzero(colour[to] == number % 2)
            senders, receivers = sender[active], to[active]
            belief = costs[senders] + sum(messages[k][senders] for k in range(4) if k != OPPOSITE[direction])
            new = np.empty((len(active), labels), np.float32)
            for start in range(0, len(active), 128):
                part = slice(start, start + 128)
                new[part] = (belief[part, None, :] + cost[active[part]]).min(2)
            new -= new.min(1, keepdims=True)
            np.minimum(new, NEVER / 10, out=new)
            messages[direction][receivers] = new if number < 2 else (messages[direction][receivers] + new) / 2
    return costs + messages[:, :count].sum(0), edges
