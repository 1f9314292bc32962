"""Choose one label for each pixel so that the sum of costs is small: belief propagation on a grid."""

from __future__ import annotations

import numpy as np

from toolbox import check_cancelled

from .costs import NEVER

# Rounds with all labels, labels that each pixel keeps after them, rounds with these, and descents at the end.
FULL_ROUNDS = 8
MAX_CANDIDATES = 16
CANDIDATE_ROUNDS = 80
DESCENTS = 5
MOVES = ((0, 1), (0, -1), (1, 0), (-1, 0))
OPPOSITE = (1, 0, 3, 2)


def choose_labels(costs: np.ndarray, seams: np.ndarray, neighbours: list[np.ndarray], colour: np.ndarray) -> np.ndarray:
    """Return the label of each pixel (n,), by min-sum belief propagation.

    A few rounds with all labels choose the MAX_CANDIDATES most likely ones of each pixel. Many rounds use these.
    """
    count, labels = costs.shape
    all_labels = np.broadcast_to(np.arange(labels), (count, labels))
    beliefs, _ = _rounds(costs, seams, neighbours, colour, all_labels, FULL_ROUNDS)
    candidate_labels = np.sort(np.argsort(beliefs, axis=1, kind="stable")[:, :MAX_CANDIDATES], axis=1)
    beliefs, edges = _rounds(
        np.take_along_axis(costs, candidate_labels, 1), seams, neighbours, colour, candidate_labels, CANDIDATE_ROUNDS
    )
    chosen = beliefs.argmin(1)
    candidate_costs = np.take_along_axis(costs, candidate_labels, 1)
    for active_colour in (0, 1) * DESCENTS:
        energy = candidate_costs.copy()
        for receiver, sender, cost in edges:
            energy[receiver] += cost[np.arange(len(receiver)), :, chosen[sender]]
        active = colour == active_colour
        chosen[active] = energy.argmin(1)[active]
    return candidate_labels[np.arange(count), chosen]


def _rounds(
    costs: np.ndarray,
    seams: np.ndarray,
    neighbours: list[np.ndarray],
    colour: np.ndarray,
    candidate_labels: np.ndarray,
    rounds: int,
) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    """Return the beliefs (n, k), and by direction the edges: receiver, sender, and cost (m, k, k).

    Messages go to the two colours of a chessboard in turn and are averaged with the previous ones.
    """
    count, labels = candidate_labels.shape
    edges = []
    for neighbour in neighbours:
        receiver = np.flatnonzero(neighbour < count)
        sender = neighbour[receiver]
        receiver_labels, sender_labels = candidate_labels[receiver][:, :, None], candidate_labels[sender][:, None, :]
        cost = (
            seams[receiver[:, None, None], receiver_labels, sender_labels]
            + seams[sender[:, None, None], receiver_labels, sender_labels]
        )
        edges.append((receiver, sender, cost))
    messages = np.zeros((4, count + 1, labels), np.float32)
    for number in range(2 * rounds):
        check_cancelled()
        for direction, (receiver, sender, cost) in enumerate(edges):
            active = np.flatnonzero(colour[receiver] == number % 2)
            senders, receivers = sender[active], receiver[active]
            belief = costs[senders] + sum(messages[k][senders] for k in range(4) if k != OPPOSITE[direction])
            message = np.empty((len(active), labels), np.float32)
            for start in range(0, len(active), 128):
                batch = slice(start, start + 128)
                message[batch] = (belief[batch, None, :] + cost[active[batch]]).min(2)
            message -= message.min(1, keepdims=True)
            np.minimum(message, NEVER / 10, out=message)
            messages[direction][receivers] = message if number < 2 else (messages[direction][receivers] + message) / 2
    return costs + messages[:, :count].sum(0), edges
