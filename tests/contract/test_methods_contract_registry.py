"""How methods are found, and what their source promises to a process that cannot import them."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from pathlib import Path

import pytest
import torch

from bench.methods import base
from bench.methods.base import Method, create, names, register
from bench.runtime.errors import ConfigError

EVERY = pytest.mark.parametrize("name", names())
DOUBLED = '''
"""Twice the cross-entropy, as a stand-in for somebody's new method."""
from __future__ import annotations
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from torch import Tensor
from bench.attacks.inner import InnerAttack
from bench.attacks.losses import cross_entropy
from bench.methods.base import Method, register
from bench.config.parsing import Amount

@register("doubled")
@dataclass(frozen=True, kw_only=True)
class Doubled(Method):
    attack: ClassVar[InnerAttack | None] = None
    passes: ClassVar[tuple[str, ...]] = ("clean",)
    factor: Amount = 2.0

    def terms(self, logits: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        return {"cross_entropy": self.factor * cross_entropy(logits["clean"], labels).mean()}
'''


@pytest.fixture
def doubled(tmp_path, monkeypatch):
    (tmp_path / "doubled.py").write_text(DOUBLED)
    package = sys.modules["bench.methods"]
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    monkeypatch.setattr(base, "_METHODS", dict(base._METHODS))
    yield "doubled"
    sys.modules.pop("bench.methods.doubled", None)


def source(name: str) -> Path:
    return Path(inspect.getfile(base._discovered()[name]))


def registered_classes(path: Path) -> dict[str, ast.ClassDef]:
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        for call in getattr(node, "decorator_list", []):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "register":
                found[ast.literal_eval(call.args[0])] = node
    return found


def test_the_methods_of_the_benchmark_are_there():
    assert {"standard", "pgd_at", "trades", "mart", "memloss"} <= set(names())


def test_a_new_file_in_the_package_is_a_new_method(doubled):
    assert doubled in names()
    method = create(doubled, {"factor": 3})
    logits = torch.zeros(2, 4)
    loss = method.objective({"clean": logits}, torch.tensor([0, 1]))
    torch.testing.assert_close(loss, 3 * torch.log(torch.tensor(4.0)))


def test_an_unknown_method_is_named_with_the_nearest_known_one():
    with pytest.raises(ConfigError, match=r"'tradse' is unknown; did you mean 'trades'"):
        create("tradse", {})


def test_a_missing_option_is_named():
    with pytest.raises(ConfigError, match=r"memloss: the key 'memory_beta' is missing"):
        create("memloss", {"variant": "v1", "beta": 3.0})


@pytest.mark.parametrize("value", ["much", -1, True, None])
def test_a_value_of_the_wrong_kind_is_named_with_its_option(value):
    with pytest.raises(ConfigError, match=r"trades\.beta: expected a number of at least 0"):
        create("trades", {"beta": value})


def test_a_whole_number_is_as_good_as_a_float():
    assert create("trades", {"beta": 3}) == create("trades", {"beta": 3.0})
    assert isinstance(create("trades", {"beta": 3}).beta, float)


def test_two_methods_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two methods are called 'trades'"):
        register("trades")(Method)


@EVERY
def test_a_file_registers_one_class_under_its_own_name(name):
    path = source(name)
    assert path.stem == name
    assert list(registered_classes(path)) == [name]


@EVERY
def test_the_options_can_be_read_from_the_source(name):
    written = {}
    for node in registered_classes(source(name))[name].body:
        if isinstance(node, ast.AnnAssign) and "ClassVar" not in ast.unparse(node.annotation):
            empty = inspect.Parameter.empty
            written[node.target.id] = ast.literal_eval(node.value) if node.value else empty
    imported = inspect.signature(base._discovered()[name]).parameters
    assert written == {option: parameter.default for option, parameter in imported.items()}


@EVERY
def test_the_equation_and_its_source_stand_in_the_docstring(name):
    text = sys.modules[base._discovered()[name].__module__].__doc__ or ""
    assert re.search(r"^ +L += ", text, re.M), "write the objective as an indented line: L = ..."
    cited = re.search(r"arXiv|\b(19|20)\d\d\b|unpublished", text)
    assert name == "standard" or cited, "name the source: arXiv id or year, or say unpublished"
