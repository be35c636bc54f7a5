"""The digest against the interpreter: what really is imported, and other versions of Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.config.method_options import method_names, model_names
from bench.runtime.provenance import ROOT, UNDECIDING, evaluate_digest, sources, train_digest

# What importing each stage loads of the package, before a registry looks for methods and models.
LOADED = """
import json, sys

def loaded(stage):
    for name in [name for name in sys.modules if name.split(".")[0] == "bench"]:
        del sys.modules[name]
    __import__(stage)
    return sorted(name for name in sys.modules if name.split(".")[0] == "bench")

print(json.dumps({stage: loaded(stage) for stage in sys.argv[1:]}))
"""
# Syntax whose tree is not the same in every version.
ODD = r"""
import json, sys
from bench.runtime.provenance import evaluate_digest, meaning, train_digest
import ast
ODD = ["f'{x:{y}}'", "f'{x!r:^{w}.{p}}'", "f''", "f'{x=}'", "f'{x:{{}}}'", "rf'\\d{x}' u'a'",
       "def f(a, /, *b, c=1, **d) -> int: ...", "class A(B, k=1): ...", "x = '\U0001fae9\u0378'",
       "match x:\n  case {'a': [1, *_], **r} | None: pass", "with (a as b, c): pass"]
print(json.dumps([
    list(sys.version_info[:2]),
    train_digest("memloss", "resnet18", "folded"),
    evaluate_digest("small_cnn"),
    [meaning(ast.parse(source)) for source in ODD],
]))
"""
# Methods that a method's module imports, and those that they import.
IMPORTED = {
    "cure": ("trades",),
    "hat": ("trades",),
    "memloss": ("trades",),
    "memloss_hat": ("hat", "memloss", "trades"),
    "memory_mart": ("mart",),
}
STAGES = (
    "bench.training.job",
    "bench.evaluation.job",
    "bench.diagnostics.job",
    "bench.diagnostics.transfer",
)


def run(python: str | Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-c", code, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture(scope="module")
def loaded():
    done = run(sys.executable, LOADED, *STAGES)
    assert done.returncode == 0, done.stderr
    return {stage: set(names) for stage, names in json.loads(done.stdout).items()}


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_every_module_that_a_stage_imports_counts_or_decides_nothing(loaded, stage):
    undeciding = {name for name in loaded[stage] if f"{name}.".startswith(UNDECIDING)}
    assert loaded[stage] >= {stage, "bench.attacks.pgd"}
    assert loaded[stage] - set(sources([stage])) <= undeciding


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_runs_again_for_what_reads_its_results(stage):
    above = ("bench.analysis", "bench.planning", "bench.perf")
    assert [name for name in sources([stage]) if name.startswith(above)] == []


def test_no_figure_that_is_drawn_elsewhere_makes_the_ablations_run_again():
    assert "bench.analysis.plots.draw" not in sources(["bench.analysis.ablations"])


@pytest.mark.parametrize("name", method_names())
def test_a_methods_module_counts_and_only_what_it_imports(name):
    counted = set(sources(["bench.training.job", f"bench.methods.{name}"]))
    others = {f"bench.methods.{other}" for other in method_names() if other != name}
    assert f"bench.methods.{name}" in counted
    assert counted & others == {f"bench.methods.{other}" for other in IMPORTED.get(name, ())}


@pytest.mark.parametrize("name", model_names())
def test_an_evaluation_counts_its_model_and_no_method(name):
    counted = set(sources(["bench.evaluation.job", f"bench.models.{name}"]))
    assert not any(module.startswith("bench.methods.") for module in counted)
    assert f"bench.models.{name}" in counted


def test_an_evaluation_counts_the_attacks_that_are_asked_for_and_no_others():
    counted = {name for name in sources(("bench.evaluation.job",)) if "attacks" in name}
    # A random network is attacked with it unasked.
    assert "bench.attacks.apgd_eot" in counted
    assert not {"bench.attacks.transfer_pgd", "bench.attacks.autoattack_few_classes"} & counted
    asked = evaluate_digest("small_cnn", attacks=("transfer_pgd",))
    assert asked != evaluate_digest("small_cnn")
    assert asked != evaluate_digest("small_cnn", "resnet18", attacks=("transfer_pgd",))


def pythons() -> dict[str, str]:
    """Return the interpreters of other minor versions that start, by version."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = {}
    for minor in range(11, 20):
        name = f"python3.{minor}"
        candidates = [shutil.which(name), *sorted(versions.glob(f"3.{minor}.*/bin/python"))]
        for python in filter(None, candidates):
            starts = run(python, "import sys; print(sys.version_info[1])")
            if minor != sys.version_info[1] and starts.stdout.strip() == str(minor):
                found[name] = str(python)
    return found


@pytest.mark.slow
def test_other_versions_of_python_give_the_same_digest():
    others = pythons()
    if not others:
        pytest.skip("there is no other Python from 3.11 on")
    done = {name: run(python, ODD) for name, python in others.items()}
    here = run(sys.executable, ODD)
    assert here.returncode == 0, here.stderr
    version, *expected = json.loads(here.stdout)
    assert version == list(sys.version_info[:2])
    assert expected[:2] == [
        train_digest("memloss", "resnet18", "folded"),
        evaluate_digest("small_cnn"),
    ]
    for name, there in done.items():
        assert there.returncode == 0, there.stderr
        version, *found = json.loads(there.stdout)
        assert f"python3.{version[1]}" == name
        assert found == expected, name
