"""A digest of the code behind a result: equal until a statement changes.

Formatting, comments and docstrings do not change it, nor does Python's minor version: fields of the
syntax tree that are empty are left out, since newer versions add some.

Standard library only.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import platform
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
# They print, parse or write what others computed; no weight and no verdict depends on them.
UNDECIDING = {
    "bench.config",
    "bench.declared",
    "bench.parsing",
    "bench.records",
    "bench.training.progress",
}
PACKAGES = ("torch", "torchvision", "pyautoattack", "autoattack", "robustbench", "safetensors")


def train_digest(method: str, model: str) -> str:
    """Return the digest of all code that decides the weights of `method` on `model`.

    The registries import their modules at run time, so the two files are named here; the code of
    other methods does not count.
    """
    return digest(("bench.training.run", f"bench.methods.{method}", f"bench.models.{model}"))


def evaluate_digest(model: str) -> str:
    """Return the digest of all code that decides the verdicts on weights of `model`."""
    return digest(("bench.evaluation.judge", f"bench.models.{model}"))


def digest(roots: Iterable[str]) -> str:
    """Return the digest of the modules `roots` and of all that they import from the package."""
    hashed = hashlib.sha256()
    for name, path in sorted(sources(roots).items()):
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        hashed.update(f"{name}\n{meaning(tree)}\n".encode())
    return hashed.hexdigest()


def sources(roots: Iterable[str]) -> dict[str, Path]:
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
        for imported in _imports(ast.parse(path.read_text(encoding="utf-8"), str(path))):
            if imported not in UNDECIDING:
                waiting.append(imported)
    return found


def meaning(node: object) -> str:
    """Return the syntax tree as text, without docstrings, positions and empty fields."""
    if isinstance(node, ast.AST):
        parts = []
        for name, value in ast.iter_fields(node):
            if name == "body" and isinstance(value, list) and _documented(node):
                value = value[1:]
            if value is not None and value != [] and name not in ("type_ignores", "kind"):
                parts.append(f"{name}={meaning(value)}")
        return f"{type(node).__name__}({', '.join(parts)})"
    if isinstance(node, list):
        return f"[{', '.join(map(meaning, node))}]"
    return repr(node)


def packages() -> dict[str, str]:
    """Return the versions of Python and of the packages that a number may depend on."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _documented(node: ast.AST) -> bool:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from package import module` names a module, `from module import name` does not.
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "bench" and _file(name) is not None:
                yield name


def _file(name: str) -> Path | None:
    path = ROOT.joinpath(*name.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None
