"""A digest of the code behind a result: equal until a statement changes.

Formatting, comments and docstrings do not change it, nor does Python's minor version: what is empty
in the syntax tree is left out, since some versions add fields or pieces of text that are.

Standard library only.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import platform
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
# They read what was asked for, or print: nothing that a job computes depends on them.
ASKED = ("bench.config.", "bench.runtime.")
# Nor do weights and per-example results on how they are written, read and resumed.
UNDECIDING = (*ASKED, "bench.results.", "bench.training.progress")
PACKAGES = ("torch", "torchvision", "pyautoattack", "autoattack", "robustbench", "safetensors")


def data_digest() -> str:
    """Return the digest of all code that reads and chooses images."""
    return digest(("bench.data.sources", "bench.data.splits", "bench.data.record"))


def train_digest(method: str, model: str, engine: str) -> str:
    """Return the digest of all code that decides the weights of `method` on `model`.

    The registries import their modules at run time, so the files are named here; the code of other
    methods, models and engines does not count.
    """
    own = (f"bench.methods.{method}", f"bench.models.{model}", f"bench.engine.{engine}")
    return digest(("bench.training.job", *own))


def external_digest(model: str) -> str:
    """Return the digest of all code that takes weights of others, of `model` or of none of ours."""
    return digest(("bench.external.job", *_modules(model)))


def evaluate_digest(*models: str, attacks: Iterable[str] = ()) -> str:
    """Return the digest of all code that decides the per-example results on weights of `models`.

    Of `attacks`, those of evaluation.attacks, each one's file counts where it is asked for.
    """
    return digest(("bench.evaluation.job", *_modules(*models), *_attack_modules(attacks)))


def diagnose_digest(model: str) -> str:
    """Return the digest of all code that decides what diagnostics find in weights of `model`."""
    return digest(("bench.diagnostics.job", *_modules(model)))


def transfer_digest(*models: str) -> str:
    """Return the digest of all code that decides what transfers between networks of `models`."""
    return digest(("bench.diagnostics.transfer", *_modules(*models)))


def _modules(*models: str) -> list[str]:
    """Return the modules of those architectures that are ours; others' have no name here."""
    return [f"bench.models.{name}" for name in models if name]


def _attack_modules(attacks: Iterable[str]) -> list[str]:
    return [f"bench.attacks.{name}" for name in attacks]


def reference_digest(attacks: Iterable[str] = ()) -> str:
    """Return the digest of all code that decides the per-example results on others' models."""
    return digest(("bench.evaluation.reference", *_attack_modules(attacks)))


def analysis_digest(*modules: str) -> str:
    """Return the digest of all code behind modules of the analysis, such as "claims.table"."""
    return digest([f"bench.analysis.{name}" for name in modules], ASKED)


def digest(roots: Iterable[str], undeciding: tuple[str, ...] = UNDECIDING) -> str:
    """Return the digest of the modules `roots` and of all that they import from the package.

    Modules whose names begin as one of `undeciding` do not count. Files are read once in a process.
    """
    return _digest(ROOT, tuple(roots), undeciding)


# Hundreds of jobs have a digest, and few of them differ.
@cache
def _digest(_root: Path, roots: tuple[str, ...], undeciding: tuple[str, ...]) -> str:
    hashed = hashlib.sha256()
    for name, path in sorted(sources(roots, undeciding).items()):
        code, _ = _read(name, path)
        hashed.update(f"{name}\n{code}\n".encode())
    return hashed.hexdigest()


def sources(roots: Iterable[str], undeciding: tuple[str, ...] = UNDECIDING) -> dict[str, Path]:
    """Return the files of `roots` and of every module of the package they import, by name."""
    found: dict[str, Path] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        path = _file(name)
        if path is None:
            raise ModuleNotFoundError(f"no source file for {name}", name=name)
        if name in found:
            continue
        found[name] = path
        _, imports = _read(name, path)
        # An import runs the packages around a module before the module itself.
        for imported in (name.rpartition(".")[0], *imports):
            if not imported.startswith(undeciding) and _file(imported) is not None:
                waiting.append(imported)
    return found


def meaning(node: object) -> str:
    """Return the syntax tree as text, without docstrings, positions and empty fields."""
    if isinstance(node, ast.AST):
        parts = (f"{name}={meaning(value)}" for name, value in _fields(node))
        return f"{type(node).__name__}({', '.join(parts)})"
    if isinstance(node, list):
        return f"[{', '.join(map(meaning, node))}]"
    # Which characters repr escapes depends on the version.
    return ascii(node)


def packages() -> dict[str, str]:
    """Return the versions of Python and of the packages that a number may depend on."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _read(name: str, path: Path) -> tuple[str, tuple[str, ...]]:
    """Return the meaning of a module and what it imports."""
    within = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return _parsed(path.read_text(encoding="utf-8"), str(path), within)


# Every run of an experiment has a digest, and they share most of their modules.
@cache
def _parsed(source: str, path: str, within: str) -> tuple[str, tuple[str, ...]]:
    tree = ast.parse(source, path)
    return meaning(tree), tuple(_imports(tree, within))


def _fields(node: ast.AST) -> Iterator[tuple[str, object]]:
    for name, value in ast.iter_fields(node):
        if name == "body" and _documented(node):
            value = value[1:]
        elif isinstance(node, ast.JoinedStr):
            value = [part for part in value if not _blank(part)]
        if value is not None and value != [] and name not in ("type_ignores", "kind"):
            yield name, value


def _documented(node: ast.AST) -> bool:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None


def _blank(part: ast.expr) -> bool:
    return isinstance(part, ast.Constant) and part.value == ""


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    """Yield what may be a module: `from package import module` looks like any other name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _file(name: str) -> Path | None:
    if name.split(".")[0] != "bench":
        return None
    path = ROOT.joinpath(*name.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None
