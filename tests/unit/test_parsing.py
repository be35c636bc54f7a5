from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from bench.config.parsing import (
    Amount,
    Count,
    Pixels,
    Positive,
    Share,
    Whole,
    nearest,
    parse,
    plain,
    value_of,
)
from bench.runtime.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Wheel:
    spokes: Count
    kind: Literal["front", "rear"] = "front"


@dataclass(frozen=True, kw_only=True)
class Bicycle:
    frame: str
    wheels: tuple[Wheel, ...] = ()
    spare: Wheel | None = None
    bell: bool = True
    parts: dict[str, Wheel] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    weight: float | None = None
    gears: int | None = None

    def __post_init__(self) -> None:
        if self.frame == "none":
            raise ValueError("frame: a bicycle has one; name its material")


def refusal(kind: Any, raw: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        value_of(kind, raw, "key")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "number"),
    [("8/255", 8 / 255), (" 8 / 255 ", 8 / 255), ("0.5/255", 0.5 / 255), ("5e-4", 5e-4), ("1", 1)],
)
def test_text_of_a_number_is_the_number_itself(text, number):
    assert value_of(Pixels, text, "key") == number


def test_a_fraction_is_the_float_nearest_to_it():
    for pixels in range(1, 256):
        assert value_of(Pixels, f"{pixels}/255", "key") == pixels / 255


NUMBERS = (Amount, Count, Pixels, Positive, Share, Whole, float)


@pytest.mark.parametrize(
    "raw",
    [
        *(True, None, [], {}, "", "much", "1/2/3", "8/", "/8", "a/b", "8/0", "nan", "inf"),
        *("-inf", "1e999", math.nan, math.inf, -math.inf, 10**400),
    ],
)
def test_what_is_no_finite_number_is_refused_by_every_unit(raw):
    assert all(refusal(kind, raw).startswith("key: expected a") for kind in NUMBERS)


@pytest.mark.parametrize(
    ("kind", "low", "below", "high", "above"),
    [
        (Pixels, 1 / 255, 0, 1, 8),
        (Share, 0, -0.1, 1, 1.5),
        (Amount, 0, -1e-9, 1e9, math.inf),
        (Positive, 1e-9, 0, 1e9, math.inf),
        (Count, 1, 0, 10**9, 2**60),
        (Whole, 0, -1, 10**9, 2**60),
    ],
)
def test_bounds_are_within_and_what_is_beyond_is_refused(kind, low, below, high, above):
    assert value_of(kind, low, "key") == low
    assert value_of(kind, high, "key") == high
    assert "expected" in refusal(kind, below)
    assert "expected" in refusal(kind, above)


def test_a_distance_in_grey_levels_is_told_to_be_divided():
    assert "divide by 255" in refusal(Pixels, 8)


@pytest.mark.parametrize("raw", [3, 3.0, "3", "3.0"])
def test_a_whole_number_may_be_written_in_any_way(raw):
    number = value_of(Count, raw, "key")
    assert number == 3
    assert isinstance(number, int)


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        *((Count, raw) for raw in (2.5, "2.5", "5/2")),
        *((Whole, raw) for raw in (2**53, "1e20")),
        *((bool, raw) for raw in (0, 1, None, "no", "True", [])),
        *((str, raw) for raw in (1, 2.0, True, None)),
        *((int, raw) for raw in ("3", 3.0, True)),
        *((tuple[str, ...], raw) for raw in ("ab", 1, None, {"a": 1})),
        *((Literal["front", "rear"], raw) for raw in ("Front", 1, None, True, ["front"], {})),
    ],
)
def test_a_value_is_not_made_of_something_else(kind, raw):
    message = refusal(kind, raw)
    assert message.startswith("key: ")
    assert repr(raw) in message


@pytest.mark.parametrize("kind", [Amount, Positive, Share, float])
def test_a_real_number_is_a_float_however_it_was_written(kind):
    for raw in (1, 1.0, "1"):
        number = value_of(kind, raw, "key")
        assert number == 1
        assert isinstance(number, float)


@pytest.mark.parametrize(("raw", "value"), [(True, True), ("true", True), ("false", False)])
def test_truth_may_be_text_as_the_command_line_gives_it(raw, value):
    assert value_of(bool, raw, "key") is value


@pytest.mark.parametrize("raw", [None, "null"])
def test_an_optional_value_may_be_left_empty(raw):
    assert value_of(Pixels | None, raw, "key") is None
    assert "expected a distance" in refusal(Pixels | None, 8)


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ({"frame": "steel", "bel": True}, "bicycle: unknown key 'bel'; did you mean 'bell'"),
        ({"frame": "steel", 1: 2}, "bicycle: unknown key 1"),
        ({}, "bicycle: the key 'frame'"),
        ({"frame": "none"}, "bicycle.frame"),
        ({"frame": "a", "wheels": [{"spokes": 0}]}, "bicycle.wheels[0].spokes"),
        ({"frame": "a", "wheels": [{"spoke": 9}]}, "bicycle.wheels[0]: unknown key 'spoke'"),
        ({"frame": "a", "wheels": [{}]}, "bicycle.wheels[0]: the key 'spokes'"),
        ({"frame": "a", "spare": {"spokes": True}}, "bicycle.spare.spokes"),
        ({"frame": "a", "parts": {"x": {"kind": "rear"}}}, "bicycle.parts.x: the key 'spokes'"),
        ({"frame": "a", "parts": {"x": None}}, "bicycle.parts.x"),
        ({"frame": "a", "parts": None}, "bicycle.parts"),
        ({"frame": "a", "parts": []}, "bicycle.parts"),
        (None, "bicycle"),
        ("steel", "bicycle"),
    ],
)
def test_the_dotted_key_that_is_wrong_is_named(raw, key):
    with pytest.raises(ConfigError) as caught:
        parse(Bicycle, raw, where="bicycle")
    assert str(caught.value).startswith(key)
    assert "\n" not in str(caught.value)


def test_a_value_goes_through_json_and_back_unchanged():
    bicycle = Bicycle(
        frame="steel",
        wheels=(Wheel(spokes=36), Wheel(spokes=32, kind="rear")),
        spare=Wheel(spokes=20),
        bell=False,
        parts={"b": Wheel(spokes=1), "a": Wheel(spokes=2)},
        notes={"any": [1, "two", None]},
        weight=0.1 + 0.2,
    )
    text = json.dumps(plain(bicycle))
    assert parse(Bicycle, json.loads(text), where="bicycle") == bicycle
    assert json.dumps(plain(parse(Bicycle, json.loads(text), where="bicycle"))) == text


def test_plain_keeps_the_declared_order_whatever_the_order_of_the_keys():
    bicycle = parse(Bicycle, {"bell": False, "wheels": [], "frame": "steel"}, where="bicycle")
    assert list(plain(bicycle))[:4] == ["frame", "wheels", "spare", "bell"]


@pytest.mark.parametrize(
    ("word", "sentence"),
    [("eposh", "did you mean 'epochs'? known: epochs, seeds"), ("xyz", "known: epochs, seeds")],
)
def test_only_a_word_that_is_near_is_suggested(word, sentence):
    assert nearest(word, ("seeds", "epochs")) == sentence


def test_a_word_that_means_a_known_one_is_told_it_though_another_is_spelt_more_alike():
    assert nearest("gpu", ("cpu", "cuda")) == "did you mean 'cuda'? known: cpu, cuda"


def test_a_known_word_with_a_comma_is_in_quotes():
    said = nearest("cuda_graph", ("eager", "folded", "folded, pages kept"))
    assert said == "known: eager, folded, 'folded, pages kept'"
