"""Labels of a figure cover nothing: neither each other, nor markers, nor the frame."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from bench.analysis.figures.place import Box, Item, Line, place

BOUNDS = Box(0, 0, 300, 200)


def crowd(count: int, seed: int, spread: float = 25.0) -> list[Item]:
    generator = random.Random(seed)
    return [
        Item(150 + generator.gauss(0, spread), 100 + generator.gauss(0, spread), 4.0, 45.0, 8.0)
        for _ in range(count)
    ]


def markers_of(items: list[Item]) -> list[Box]:
    return [Box.around(item.x, item.y, 8, 8) for item in items]


@pytest.mark.parametrize("seed", range(4))
def test_labels_overlap_neither_each_other_nor_markers(seed: int) -> None:
    items = crowd(10, seed)
    placed = place(items, markers=markers_of(items), lines=[], bounds=BOUNDS)
    for one, other in itertools.combinations([label.box for label in placed], 2):
        assert not one.overlaps(other)
    for label, marker in itertools.product(placed, markers_of(items)):
        assert not label.box.overlaps(marker)


def test_labels_keep_their_size_and_stay_within_the_bounds() -> None:
    items = [Item(x, y, 4.0, 60.0, 9.0) for x in (5, 295) for y in (5, 195)]
    for label in place(items, markers=markers_of(items), lines=[], bounds=BOUNDS):
        assert BOUNDS.holds(label.box)
        assert label.box.right - label.box.left == pytest.approx(60)
        assert label.box.top - label.box.bottom == pytest.approx(9)


def test_the_same_arguments_give_the_same_places() -> None:
    items = crowd(8, 1)
    first, second = (
        place(items, markers=markers_of(items), lines=[], bounds=BOUNDS) for _ in range(2)
    )
    assert first == second


def test_a_label_beside_its_marker_needs_no_leader() -> None:
    (label,) = place([Item(150, 100, 4, 40, 8)], markers=[], lines=[], bounds=BOUNDS)
    assert label.leader is None


def test_a_label_that_must_go_far_is_led_back_to_its_marker() -> None:
    item = Item(150, 100, 4, 40, 8)
    wall = [Box(100, 80, 145, 120), Box(155, 80, 200, 120), Box(145, 105, 155, 120)]
    (label,) = place([item], markers=wall, lines=[], bounds=BOUNDS)
    assert label.leader is not None
    start = math.hypot(label.leader.x0 - item.x, label.leader.y0 - item.y)
    assert start == pytest.approx(item.radius)
    assert label.box.left <= label.leader.x1 <= label.box.right
    assert label.box.bottom <= label.leader.y1 <= label.box.top


def test_a_label_avoids_a_line_where_it_can() -> None:
    item = Item(150, 100, 4, 40, 8)
    to_the_right = Line(150, 100, 300, 100)
    (free,) = place([item], markers=[], lines=[], bounds=BOUNDS)
    (label,) = place([item], markers=[], lines=[to_the_right], bounds=BOUNDS)
    assert free.box.bottom < 100 < free.box.top
    assert free.box.left > 150
    assert not (label.box.right > 150 and label.box.bottom < 100 < label.box.top)


def test_nothing_to_place() -> None:
    assert place([], markers=[], lines=[], bounds=BOUNDS) == []


def test_boxes_that_only_touch_do_not_overlap() -> None:
    assert not Box(0, 0, 1, 1).overlaps(Box(1, 0, 2, 1))
    assert Box(0, 0, 1, 1).overlaps(Box(0.9, 0, 2, 1))
