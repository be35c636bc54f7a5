"""Where to write a label so that it covers nothing: plain geometry, in any one unit of length."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Indices = NDArray[np.int64]
Conflicts = NDArray[np.float32]

# Where a label may stand around its marker: best directions first, then steps away from it, and how
# squarely it turns its side to the marker.
TURNS = [0, 180, 90, 270, 30, 150, 330, 210, 60, 120, 300, 240, 15, 165, 345, 195]
TURNS += [45, 135, 315, 225, 75, 105, 285, 255]
STEPS = [0.0, 1.5, 3.0, 5.0, 7.5, 10.0, 13.0, 17.0, 22.0, 28.0, 35.0, 43.0, 52.0, 65.0, 80.0]
SQUARE = [1.0, 3.0]
# How many candidates of a label are weighed against those of the others, and how many orders tried.
KEPT, ORDERS, SWEEPS = 64, 24, 12
# What a place costs, in units of length: more than COVERS only where nothing else is left.
COVERS, CROSSES, STRIKES, TOUCHES = 1e5, 400.0, 120.0, 4.0


@dataclass(frozen=True)
class Box:
    """A rectangle with sides along the axes."""

    left: float
    bottom: float
    right: float
    top: float

    @classmethod
    def around(cls, x: float, y: float, width: float, height: float) -> Box:
        """Return the box of this size centred at (x, y)."""
        return cls(x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    def overlaps(self, other: Box) -> bool:
        """Say whether the two boxes share some area."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top
            and other.bottom < self.top
        )

    def holds(self, other: Box) -> bool:
        """Say whether `other` lies wholly inside."""
        return (
            self.left <= other.left
            and self.bottom <= other.bottom
            and other.right <= self.right
            and other.top <= self.top
        )


@dataclass(frozen=True)
class Item:
    """A label of a size, and the marker (its centre and half width) that it names."""

    x: float
    y: float
    radius: float
    width: float
    height: float


@dataclass(frozen=True)
class Line:
    """A straight piece of something drawn."""

    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True)
class Placed:
    """Where a label goes; `leader` joins it to its marker where the two are apart."""

    box: Box
    leader: Line | None


def place(
    items: Sequence[Item],
    *,
    markers: Sequence[Box],
    lines: Sequence[Line],
    bounds: Box,
    gap: float = 2.0,
) -> list[Placed]:
    """Return a place for each label, in the order given.

    Every label has a fan of candidates around its marker. From several orders of the labels, each
    takes its cheapest candidate in turn until none wants to move, and the cheapest outcome of all
    is kept. It depends on nothing but the arguments.

    Parameters
    ----------
    items : sequence of Item
        The labels.
    markers : sequence of Box
        What no label and no leader may cover; a leader may start in the markers that hold the
        centre of its own.
    lines : sequence of Line
        Drawn lines, which labels avoid where they can.
    bounds : Box
        What every label stays within.
    gap : float
        Least room around a label; a leader is drawn from about twice that distance.
    """
    if not items:
        return []
    fans = [_Fan(item, markers, lines, bounds, gap) for item in items]
    alone = np.stack([fan.cost for fan in fans])
    count = len(fans)
    between = np.zeros((count, count, KEPT, KEPT), dtype=np.float32)
    for i in range(count):
        for j in range(i):
            between[i, j] = _conflict(fans[i], fans[j], gap)
            between[j, i] = between[i, j].T
    best = min(
        (_settle(alone, between, order) for order in _orders(items)),
        key=lambda chosen: _total(alone, between, chosen),
    )
    return [fan.placed(int(k)) for fan, k in zip(fans, best, strict=True)]


def _orders(items: Sequence[Item]) -> list[list[int]]:
    """Return orders to try: the most crowded first, then turned and shuffled ones."""
    crowd = [sum(abs(a.x - b.x) + abs(a.y - b.y) < 60 for b in items) for a in items]
    first = sorted(range(len(items)), key=lambda i: (-crowd[i], -items[i].width, i))
    shuffled = (random.Random(k).sample(first, len(first)) for k in range(ORDERS - 2))
    return [first, first[::-1], *shuffled]


def _settle(alone: Array, between: Conflicts, order: Sequence[int]) -> Indices:
    """Let each label in turn take its cheapest candidate until none wants to move."""
    chosen = np.full(len(alone), -1)
    for _ in range(SWEEPS):
        before = chosen.copy()
        for i in order:
            (others,) = np.nonzero((chosen >= 0) & (np.arange(len(alone)) != i))
            cost = alone[i] + between[i, others, :, chosen[others]].sum(axis=0)
            chosen[i] = int(np.argmin(cost))
        if (chosen == before).all():
            break
    return chosen


def _total(alone: Array, between: Conflicts, chosen: Indices) -> float:
    every = np.arange(len(chosen))
    pairs = between[every[:, None], every[None, :], chosen[:, None], chosen[None, :]]
    return float(alone[every, chosen].sum() + pairs.sum() / 2)


class _Fan:
    """The candidates of one label, cheapest first, and what each costs before others are known."""

    def __init__(
        self,
        item: Item,
        markers: Sequence[Box],
        lines: Sequence[Line],
        bounds: Box,
        gap: float,
    ) -> None:
        angle, away, square = (
            grid.ravel() for grid in np.meshgrid(np.deg2rad(TURNS), STEPS, SQUARE, indexing="ij")
        )
        middle, size = np.array([item.x, item.y]), np.array([item.width, item.height])
        toward = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        # The side of the label that faces the marker, not its centre, keeps the distance.
        shift = np.clip(toward * square[:, None], -1, 1) * size / 2
        centre = middle + toward * (item.radius + gap + away)[:, None] + shift
        self.low, self.high = centre - size / 2, centre + size / 2
        end = np.clip(middle, self.low, self.high)
        length = np.hypot(*(end - middle).T)
        self.far = length - item.radius > 2.5 * gap
        start = middle + (end - middle) / np.maximum(length, 1e-9)[:, None] * item.radius
        self.leader = np.concatenate([start, end], axis=1)
        preference = np.repeat(np.arange(len(TURNS)), len(STEPS) * len(SQUARE)) * 0.05 * gap
        self.cost = length + preference + self.far * TOUCHES
        inside = (self.low >= [bounds.left, bounds.bottom]) & (
            self.high <= [bounds.right, bounds.top]
        )
        self.cost += COVERS * ~inside.all(axis=1)
        self.cost += COVERS * (length < item.radius + 0.5 * gap)
        for box in markers:
            own = box.left <= item.x <= box.right and box.bottom <= item.y <= box.top
            self.cost += COVERS * _overlap(self.low, self.high, _grown(box, 0.5 * gap))
            if not own:
                self.cost += CROSSES * (self.far & _hits(self.leader, box))
        for line in lines:
            self.cost += STRIKES * _crossed(line, self.low, self.high, 0.5 * gap)
        kept = np.argsort(self.cost, kind="stable")[:KEPT]
        self.low, self.high, self.far = self.low[kept], self.high[kept], self.far[kept]
        self.leader, self.cost = self.leader[kept], self.cost[kept]
        corners = np.concatenate([self.low, self.high, [middle]])
        self.hull = Box(*map(float, (*corners.min(axis=0), *corners.max(axis=0))))

    def placed(self, k: int) -> Placed:
        box = Box(*map(float, (*self.low[k], *self.high[k])))
        return Placed(box, Line(*map(float, self.leader[k])) if self.far[k] else None)


def _conflict(one: _Fan, other: _Fan, gap: float) -> Conflicts:
    """Return what each pair of candidates costs: labels on labels, leaders through either."""
    if not one.hull.overlaps(_grown(other.hull, gap)):
        return np.zeros((KEPT, KEPT), dtype=np.float32)
    low, high, far = one.low[:, None], one.high[:, None], one.far[:, None]
    overlap = (low < other.high + gap) & (other.low - gap < high)
    cost = COVERS * overlap.all(axis=-1)
    start, delta = one.leader[:, None, :2], (one.leader[:, 2:] - one.leader[:, :2])[:, None]
    cost += CROSSES * (far & _clips(start, delta, other.low[None], other.high[None]))
    start, delta = other.leader[None, :, :2], (other.leader[:, 2:] - other.leader[:, :2])[None]
    cost += CROSSES * (other.far[None] & _clips(start, delta, low, high))
    cost += CROSSES * (far & other.far[None] & _meet(one.leader[:, None], other.leader[None]))
    return np.asarray(cost, dtype=np.float32)


def _grown(box: Box, by: float) -> Box:
    return Box(box.left - by, box.bottom - by, box.right + by, box.top + by)


def _overlap(low: Array, high: Array, box: Box) -> Flags:
    return np.asarray(
        (low[:, 0] < box.right)
        & (box.left < high[:, 0])
        & (low[:, 1] < box.top)
        & (box.bottom < high[:, 1])
    )


def _clips(start: Array, delta: Array, low: Array, high: Array) -> Flags:
    """Say which segments pass through their boxes (the slab test; all arrays [..., 2])."""
    safe = np.where(np.abs(delta) < 1e-12, 1e-12, delta)
    first, second = (low - start) / safe, (high - start) / safe
    enter = np.minimum(first, second).max(axis=-1)
    leave = np.maximum(first, second).min(axis=-1)
    return np.asarray((enter < leave) & (enter < 1) & (leave > 0))


def _hits(segments: Array, box: Box) -> Flags:
    """Say which segments [K, 4] pass through one box."""
    low, high = np.array([box.left, box.bottom]), np.array([box.right, box.top])
    return _clips(segments[:, :2], segments[:, 2:] - segments[:, :2], low, high)


def _crossed(line: Line, low: Array, high: Array, margin: float) -> Flags:
    """Say through which boxes, grown by `margin`, one line passes."""
    start = np.array([line.x0, line.y0])
    delta = np.array([line.x1 - line.x0, line.y1 - line.y0])
    return _clips(start, delta, low - margin, high + margin)


def _meet(one: Array, other: Array) -> Flags:
    """Say which segments of two broadcast arrays [..., 4] cross each other."""
    a, b, c, d = one[..., :2], one[..., 2:], other[..., :2], other[..., 2:]
    parted = _side(a, b, c) * _side(a, b, d) < 0
    return np.asarray(parted & (_side(c, d, a) * _side(c, d, b) < 0))


def _side(start: Array, end: Array, point: Array) -> Array:
    """Return on which side of start-end each point lies, as a signed area."""
    one, other = end - start, point - start
    return np.asarray(one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0])
