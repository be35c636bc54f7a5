from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from bench.config.method_options import method_names, model_names
from bench.runtime import provenance
from bench.runtime.provenance import (
    data_digest,
    diagnose_digest,
    digest,
    evaluate_digest,
    meaning,
    packages,
    reference_digest,
    sources,
    train_digest,
    transfer_digest,
)

ROOT = provenance.ROOT
UNLIKE = {
    "a comment": ("import annotations", "import annotations  # a remark"),
    "a docstring": ('"""', '"""Edited. '),
    "blank lines": ("import annotations", "import annotations\n\n\n"),
    "brackets": ("import annotations", "import (\n    annotations,\n)"),
}


@pytest.fixture
def copy(tmp_path_factory, monkeypatch):
    """A copy of the package that a test may edit."""
    # At the same place for every test: what a file means is read once as long as it is the same.
    root = tmp_path_factory.getbasetemp() / "copied"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(ROOT / "bench", root / "bench", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "ROOT", root)
    monkeypatch.setattr(provenance, "_digest", provenance._digest.__wrapped__)  # edited in between
    return root / "bench"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def digests() -> dict[str, str]:
    found = {method: train_digest(method, "resnet18", "folded") for method in method_names()}
    return found | {"evaluation": evaluate_digest("resnet18")}


@pytest.fixture(scope="module")
def before():
    """The digests of the package as it is."""
    return digests()


def changed(before: dict[str, str]) -> set[str]:
    return {name for name, value in digests().items() if before[name] != value}


def test_a_copy_elsewhere_has_the_same_digest(before, copy):
    assert digests() == before


@pytest.mark.parametrize("kind", UNLIKE)
def test_what_does_not_run_leaves_every_digest(before, copy, kind):
    for file in ("methods/memloss", "training/run", "attacks/linf", "evaluation/per_example"):
        edit(copy / f"{file}.py", *UNLIKE[kind])
    assert changed(before) == set()


def test_the_whole_package_written_another_way_has_the_same_digests(before, copy):
    for path in copy.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        path.write_text(f"# No comment survives.\n{ast.unparse(tree)}\n", encoding="utf-8")
    assert changed(before) == set()


@pytest.mark.parametrize(
    ("file", "stale"),
    [
        ("methods/memloss.py", {"memloss", "memloss_hat"}),
        ("methods/mart.py", {"mart", "memory_mart"}),
        # These are TRADES and a term or two.
        ("methods/trades.py", {"trades", "memloss", "memloss_hat", "hat", "cure"}),
        ("methods/cure.py", {"cure"}),
        ("training/run.py", set(method_names())),
        ("training/schedule.py", set(method_names())),
        ("data/augment.py", set(method_names())),
        ("models/resnet18.py", {*method_names(), "evaluation"}),
        ("models/small_cnn.py", set()),
        ("attacks/linf.py", {*method_names(), "evaluation"}),
        ("numerics/seeding.py", {*method_names(), "evaluation"}),
        ("engine/folded.py", set(method_names())),
        ("engine/cuda_graph.py", set()),
        ("numerics/device.py", {*method_names(), "evaluation"}),
        ("__init__.py", {*method_names(), "evaluation"}),
        ("attacks/__init__.py", {*method_names(), "evaluation"}),
        ("evaluation/per_example.py", {"evaluation"}),
        ("attacks/autoattack.py", {"evaluation"}),
        ("analysis/tables.py", set()),
        ("config/experiment.py", set()),
        ("config/parsing.py", set()),
        ("training/progress.py", set()),
    ],
)
def test_a_statement_makes_stale_what_runs_it_and_nothing_else(before, copy, file, stale):
    path = copy / file
    path.write_text(path.read_text(encoding="utf-8") + "\nEXTRA = 1\n", encoding="utf-8")
    assert changed(before) == stale


@pytest.mark.parametrize(
    ("file", "stale"),
    [
        ("diagnostics/curves.py", {"diagnose", "transfer"}),
        ("diagnostics/transfer.py", {"transfer"}),
        ("models/resnet18.py", {"diagnose", "transfer"}),
        ("models/small_cnn.py", set()),
        ("evaluation/reference.py", {"reference"}),
        ("attacks/pgd.py", {"diagnose", "transfer", "reference"}),
        ("data/splits.py", {"data"}),
        ("data/sources/folder.py", {"data"}),
    ],
)
def test_the_digests_of_the_other_stages_are_of_their_own_code(copy, file, stale):
    def digests() -> dict[str, str]:
        return {
            "data": data_digest(),
            "diagnose": diagnose_digest("resnet18"),
            "transfer": transfer_digest("resnet18"),
            "reference": reference_digest(),
        }

    before, path = digests(), copy / file
    path.write_text(path.read_text(encoding="utf-8") + "\nEXTRA = 1\n", encoding="utf-8")
    assert {name for name, value in digests().items() if before[name] != value} == stale


def test_a_new_method_leaves_the_digests_of_the_others(before, copy):
    (copy / "methods" / "mine.py").write_text("from bench.methods.base import register\n")
    assert changed(before) == set()
    assert train_digest("mine", "resnet18", "folded") not in before.values()


@pytest.mark.parametrize(
    "statement",
    [
        "import bench.extra",
        "import bench.extra as other, os",
        "from bench import extra",
        "from bench.extra import name",
        "from bench.extra import *",
        "from .. import extra",
        "from ..extra import name",
        "from .near import name",
        "from . import near",
        "def later():\n    from bench.extra import name",
        "if True:\n    import bench.extra",
    ],
)
def test_an_import_is_followed_however_it_is_written(copy, statement):
    (copy / "extra.py").write_text("name = 1\n")
    (copy / "methods" / "near.py").write_text("import bench.extra\n")
    (copy / "methods" / "mine.py").write_text(f"{statement}\n")
    first = train_digest("mine", "resnet18", "folded")
    assert "bench.extra" in sources(["bench.methods.mine"])
    (copy / "extra.py").write_text("name = 2\n")
    assert train_digest("mine", "resnet18", "folded") != first


def test_modules_that_import_each_other_are_followed_once(copy):
    (copy / "one.py").write_text("import bench.two\n")
    (copy / "two.py").write_text("import bench.one, torch, numpy.random\n")
    assert set(sources(["bench.one"])) == {"bench", "bench.one", "bench.two"}
    assert digest(["bench.one"]) == digest(["bench.two"]) == digest(["bench.two", "bench.one"])


def test_a_module_that_is_not_there_is_named(copy):
    with pytest.raises(ModuleNotFoundError, match=r"bench\.methods\.nothing"):
        train_digest("nothing", "resnet18", "folded")


def test_every_method_on_every_model_has_a_digest_of_its_own():
    pairs = [(method, model) for method in method_names() for model in model_names()]
    assert len({train_digest(*pair, "folded") for pair in pairs}) == len(pairs)


def same(one: str, other: str) -> bool:
    return meaning(ast.parse(one)) == meaning(ast.parse(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 'a'", 'x = u"""a"""'),
        ("x = 'a' 'b'", "x = 'ab'"),
        ("x = f'a' f'{y}'", "x = f'a{y}'"),
        ("x = (1_000)", "x = 1000"),
        ("def f():\n  'Doc.'\n  return 1", "def f(): return 1"),
        ("class A:\n  ''\n  x = 1", "class A:\n  x = 1"),
        ("async def f():\n  'Doc.'\n  return 1", "async def f(): return 1"),
        ("f(a, b)", "f(\n  a,\n  b,\n)"),
    ],
)
def test_two_ways_to_write_the_same_are_the_same(one, other):
    assert same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = 0.0", "x = -0.0"),
        ("x = 'a'", "x = b'a'"),
        ("x = ''", "x = f''"),
        ("x = f''", "x = f'{y}'"),
        ("x = f'{y}'", "x = f'{y!r}'"),
        ("x = f'{y:.1f}'", "x = f'{y:.2f}'"),
        ("x = f'{y:{z}}'", "x = f'{y:{w}}'"),
        ("f('', x)", "f(x)"),
        ("x = [None]", "x = []"),
        ("x = None", "x: None"),
        ("return_ = lambda: None", "return_ = lambda: 0"),
        ("def f(a, b=1): ...", "def f(a, *, b=1): ..."),
        ("def f(*, a, b=1): ...", "def f(*, a=1, b): ..."),
        ("{**a}", "{None: a}"),
        ("def f(): return", "def f(): return None"),
        ("def f():\n  x = 1\n  'no docstring'", "def f():\n  x = 1"),
        ("def f():\n  f'no docstring'\n  return 1", "def f():\n  return 1"),
        ("a\nb", "b\na"),
        ("import a", "import a as b"),
        ("from a import b", "from .a import b"),
        ("x = a if b else c", "x = c if b else a"),
        ("@a\ndef f(): ...", "def f(): ..."),
    ],
)
def test_two_statements_that_differ_are_not_the_same(one, other):
    assert not same(one, other)


def test_meaning_is_the_same_whatever_characters_a_version_of_unicode_knows():
    assert meaning(ast.parse("x = 'é█'")).isascii()


def test_packages_are_named_with_their_versions():
    import platform

    found = packages()
    assert found["python"] == platform.python_version()
    assert "torch" in found
    assert all(version for version in found.values())
