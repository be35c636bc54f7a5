"""An architecture's source file as a module that stands alone: torch and safetensors do."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Mapping
from pathlib import Path

from bench.runtime.errors import BenchError

MODELS = Path(__file__).parents[1] / "models"
IMPORTS = ["from pathlib import Path", "from safetensors.torch import load_file"]
LOADER = '''

def load(folder: str | Path = Path(__file__).parent) -> nn.Module:
    """Return the trained network in eval mode: images [B, C, H, W] in [0, 1] in, logits out."""
    model = {call}
    model.load_state_dict(load_file(Path(folder) / "model.safetensors"))
    return model.eval()
'''


def standalone(name: str, arguments: Mapping[str, int], *, models: Path = MODELS) -> str:
    """Return the source of architecture `name` without this package, and with a `load` function.

    Parameters
    ----------
    name
        A registered architecture.
    arguments
        What its class is called with.
    models
        The folder of architectures.

    Raises
    ------
    BenchError
        No file registers `name`, or its file uses more of this package than errors.
    """
    path, text, builder = _registered(name, models)
    head, body, renamed = _without_suite(path, text)
    aliases = ["", *(f"{name} = ValueError" for name in renamed)] if renamed else []
    call = f"{builder.name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"
    return "\n".join([*head, *IMPORTS, *aliases, *body]) + "\n" + LOADER.format(call=call)


def _without_suite(path: Path, text: str) -> tuple[list[str], list[str], list[str]]:
    """Return the lines before and after the first import of this package, without any.

    With them come the names of its errors, which mean a wrong value: without the suite they are
    ValueErrors. What a file takes from another of its folder is written in.
    """
    lines: list[str | None] = list(text.splitlines())
    tree, renamed, beside = ast.parse(text), list[str](), list[str]()
    first = len(lines) + 1
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            for decorator in node.decorator_list:
                if _registers(decorator) is not None:
                    lines[decorator.lineno - 1 : decorator.end_lineno] = [None] * _height(decorator)
        if not isinstance(node, ast.Import | ast.ImportFrom) or not _of_the_suite(node):
            continue
        if isinstance(node, ast.Import) or node.level or node not in tree.body:
            raise BenchError(
                f"{path}, line {node.lineno}: an exported module cannot have this import of bench;"
                " write it at the top as `from bench.… import …`"
            )
        other = path.with_name(f"{str(node.module).rpartition('.')[2]}.py")
        if str(node.module).startswith("bench.models.") and other.stem != "base":
            _, code, errors = _without_suite(other, _code(other))
            beside += code
            renamed += errors
        else:
            renamed += _errors(node, path)
        lines[node.lineno - 1 : node.end_lineno] = [None] * _height(node)
        first = min(first, node.lineno)
    kept = [line for line in lines[: first - 1] if line is not None]
    rest = [line for line in lines[first - 1 :] if line is not None]
    if first > len(lines):
        return [], kept, renamed
    return kept, [*beside, *rest], renamed


def _code(path: Path) -> str:
    """Return the source of a module without its docstring and `from __future__`."""
    text = path.read_text(encoding="utf-8")
    future = [
        node.end_lineno or node.lineno
        for node in ast.parse(text).body
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
    ]
    return "\n".join(text.splitlines()[max(future, default=0) :])


def _registered(name: str, models: Path) -> tuple[Path, str, ast.ClassDef | ast.FunctionDef]:
    for path in sorted(models.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and name in map(
                _registers, node.decorator_list
            ):
                return path, text, node
    raise BenchError(f"no file of {models} registers the model {name!r}: it cannot be exported")


def _registers(decorator: ast.expr) -> str | None:
    match decorator:
        case ast.Call(func=ast.Name(id="register"), args=[ast.Constant(value=str(name))]):
            return name
    return None


def _of_the_suite(node: ast.Import | ast.ImportFrom) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.level > 0 or (node.module or "").split(".")[0] == "bench"
    return any(alias.name.split(".")[0] == "bench" for alias in node.names)


def _errors(node: ast.ImportFrom, path: Path) -> list[str]:
    found = []
    for alias in node.names:
        if alias.name == "register":
            continue
        thing = getattr(importlib.import_module(str(node.module)), alias.name, None)
        if isinstance(thing, type) and issubclass(thing, Exception):
            found.append(alias.asname or alias.name)
        else:
            raise BenchError(
                f"{path} takes {alias.name} from {node.module}, which an exported folder does not"
                " have: write it into that file"
            )
    return found


def _height(node: ast.stmt | ast.expr) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1
