"""Which module of the suite imports which, read from the imports of its files."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Lowest first: a room imports only rooms before it.
ROOMS = (
    *("runtime", "config", "results", "merging", "numerics", "models", "attacks", "data"),
    *("methods", "engine", "training", "external", "evaluation", "diagnostics", "planning", "perf"),
    *("analysis", "api", "cli"),
)
# The analysis reads what they left in results/; of diagnostics it has the limits of the checks.
COMPUTING = ("models", "attacks", "methods", "engine", "training", "evaluation")
# What the process that plans the workflow imports; Snakemake's environment has no torch.
PLANNING = (
    "bench.data.listing",
    "bench.results.figures",
    "bench.results.paths",
    "bench.results.records",
    "bench.results.staleness",
    "bench.planning.costs",
    "bench.planning.doctor",
    "bench.planning.plan",
    "bench.planning.sizes",
    "bench.planning.text",
    "bench.planning.verify",
    "bench.api",
    "bench.cli.main",
)
# In no environment of the planning process, as far as the suite may know.
HEAVY = (
    *("torch", "torchvision", "numpy", "pandas", "scipy", "sklearn", "matplotlib", "pyarrow"),
    *("robustbench", "pyautoattack", "safetensors", "PIL"),
)


@cache
def modules() -> dict[str, Path]:
    """Return the files of all modules, by name."""
    found = {}
    for path in sorted((ROOT / "bench").rglob("*.py")):
        *packages, stem = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(packages if stem == "__init__" else (*packages, stem))] = path
    return found


def room(module: str) -> str:
    """Return the room of a module; those beside the rooms start the program, as cli does."""
    return module.split(".")[1] if module.count(".") and module != "bench.__main__" else "cli"


def imported(node: ast.AST, module: str) -> Iterator[str]:
    """Yield what one statement imports of the suite."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in modules())
    elif isinstance(node, ast.ImportFrom):
        package = modules()[module].name == "__init__.py"
        within = module if package else module.rpartition(".")[0]
        source = importlib.util.resolve_name("." * node.level + (node.module or ""), within)
        for alias in node.names:
            # `from package import module` looks like any other name.
            name = f"{source}.{alias.name}"
            if name in modules():
                yield name
            elif source in modules():
                yield source


@cache
def imports(module: str, *, at_once: bool = False) -> frozenset[str]:
    """Return what a module imports of the suite; `at_once`: when it is imported itself."""
    found, waiting = set[str](), [ast.parse(modules()[module].read_text(encoding="utf-8"))]
    while waiting:
        node: ast.AST = waiting.pop()
        found |= set(imported(node, module))
        for child in ast.iter_child_nodes(node):
            if not (at_once and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)):
                waiting.append(child)  # type: ignore[arg-type]
    return frozenset(found - {module})


def test_every_folder_is_a_room():
    folders = {path.name for path in (ROOT / "bench").iterdir() if path.is_dir()}
    assert folders - {"__pycache__"} == set(ROOMS) - {"api"}
    beside = {name for name in modules() if name.count(".") == 1 and room(name) == "cli"}
    assert beside == {"bench.__main__", "bench.cli"}
    assert "bench.api" in modules()


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_imports_only_rooms_below_it(name):
    allowed = set(ROOMS[: ROOMS.index(name) + 1])
    upward = {
        f"{module} -> {other}"
        for module in modules()
        if room(module) == name and module != "bench"
        for other in imports(module)
        if other != "bench" and room(other) not in allowed
    }
    assert not upward


def test_the_analysis_reads_results_and_computes_nothing_again():
    computing = {
        f"{module} -> {other}"
        for module in modules()
        if room(module) == "analysis"
        for other in imports(module)
        if other != "bench" and room(other) in COMPUTING
    }
    assert not computing


def test_no_modules_import_each_other():
    # An import inside a function is an arrow too: such a cycle is only put off.
    graph = {module: imports(module) for module in modules()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a cycle: {' <- '.join(error.args[1])}")


def test_planning_imports_neither_torch_nor_what_needs_it():
    light = [name for name in modules() if room(name) in ("runtime", "config")]
    hidden = "\n".join(f"sys.modules[{name!r}] = None" for name in HEAVY)
    asked = "\n".join(f"import {name}" for name in (*light, *PLANNING) if name != "bench")
    code = f"import sys\n{hidden}\n{asked}\n"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
