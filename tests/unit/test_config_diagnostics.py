"""The section `diagnostics` of a config: what it may hold and which runs it means."""

from __future__ import annotations

import pytest
from settings import settings

from bench.config.experiment import experiment
from bench.runtime.errors import ConfigError


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"imgaes": 3}, "diagnostics: unknown key 'imgaes'; did you mean 'images'?"),
        ({"images": 0}, "diagnostics.images: expected a whole number of at least 1"),
        ({"seeds": [7]}, "diagnostics.seeds: 7 is not one of the experiment's seeds"),
        ({"seeds": [0, 0]}, "diagnostics.seeds: [0, 0] is empty or names something twice"),
        ({"checkpoints": []}, "diagnostics.checkpoints: [] is empty or names something twice"),
        ({"checkpoints": ["bset"]}, "diagnostics.checkpoints[0]: 'bset' is unknown; did you mean"),
        ({"steps": 3}, "diagnostics.steps: fewer than 4 steps of eps / 4 cannot cross the ball"),
        ({"restarts": 1}, "diagnostics.restarts: a curve over restarts needs at least 2"),
        ({"max_steps": 1}, "diagnostics.max_steps: a curve over steps needs at least 2"),
        (3, "diagnostics: expected keys and values, got 3"),
    ],
)
def test_a_wrong_section_names_the_key(section, message):
    with pytest.raises(ConfigError) as said:
        experiment(settings({"diagnostics": section}))
    assert str(said.value).startswith(message)


def test_without_the_section_nothing_is_examined():
    for raw in (settings(), settings({"diagnostics": None})):
        assert experiment(raw).diagnosed() == []
        assert experiment(raw).transfer_seeds() == ()


def test_the_first_seed_is_examined_unless_others_are_named():
    methods = {"methods.standard": {}}
    first = experiment(settings({"diagnostics": {}, **methods}))
    assert first.diagnosed() == [("trades", 0), ("standard", 0)]
    assert first.transfer_seeds() == (0,)
    both = experiment(settings({"diagnostics": {"seeds": [1, 0]}, **methods}))
    assert set(both.diagnosed()) == set(both.runs())
    assert both.transfer_seeds() == (1, 0)
    assert both.diagnostics_spec() == first.diagnostics_spec()
    without = experiment(settings({"diagnostics": {"transfer": False}, **methods}))
    assert without.transfer_seeds() == ()
    assert experiment(settings({"diagnostics": {}})).transfer_seeds() == ()
