"""An architecture's source file as a module that needs torch and safetensors alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.config.schema import Normalization
from bench.runtime.errors import BenchError

if TYPE_CHECKING:
    from bench.external.network import ExternalDescription

REORDERED = Path(__file__).parents[1] / "external" / "reordered.py"
MODELS = Path(__file__).parents[1] / "models"
IMPORTS = ["from pathlib import Path", "from safetensors.torch import load_file"]
USES_BENCH = re.compile(r"^\s*(import bench|from bench|from \.)", re.MULTILINE)
LOADER = '''

def load(folder: str | Path = Path(__file__).parent) -> nn.Module:
    """Return the trained network in eval mode: images [B, C, H, W] in [0, 1] in, logits out."""
    model = {call}
    model.load_state_dict(load_file(Path(folder) / "model.safetensors"))
    return model.eval()
'''


EXTERNAL_LOADER = '''

def load(folder: str | Path = Path(__file__).parent) -> nn.Module:
    """Return the trained network in eval mode: images [B, C, H, W] in [0, 1] in, logits out."""
    network = {bare}
    network.load_state_dict(load_file(Path(folder) / "model.safetensors"))
    return {whole}.eval()
'''


def standalone(
    name: str,
    arguments: Mapping[str, int],
    *,
    normalization: Normalization | None = None,
    models: Path = MODELS,
) -> str:
    """Return the source of architecture `name` without this package, and with a `load` function."""
    path, text, builder = _registered(name, models)
    source = _alone(path, text, IMPORTS)
    call = _call(builder.name, arguments)
    if normalization is not None:
        source += _body(MODELS / "normalized.py")
        call = _normalized(call, normalization)
    return source + LOADER.format(call=call)


def adapted(network: ExternalDescription, folder: Path) -> tuple[str, str]:
    """Return the source of a module that loads a network of others, and what packages it needs.

    One of our architectures is written into it; any other is imported, from its package or from the
    user's file, a copy of which is in `folder`.
    """
    # Here, since `doctor` imports this module where torch is missing.
    from bench.external.architecture import imported

    kind, _, name = network.architecture.rpartition(":")
    if kind:
        line, call = imported(
            network.architecture,
            network.arguments,
            classes=network.classes,
            channels=network.channels,
            folder=folder,
        )
        source = "\n".join([*IMPORTS, "from torch import nn", line]) + "\n"
        needs = f"torch, safetensors and {kind}"
    else:
        path, text, builder = _registered(name, MODELS)
        source, needs = _alone(path, text, IMPORTS), "torch and safetensors"
        arguments = {"classes": network.classes, "channels": network.channels}
        call = _call(builder.name, arguments | network.arguments)
    whole = "network"
    if network.normalization is not None:
        source += "\nimport torch\nfrom torch import Tensor\n" + _body(MODELS / "normalized.py")
        whole = _normalized(whole, network.normalization)
    if network.channel_order == "bgr" or network.outputs is not None:
        source += "\nimport torch\nfrom torch import Tensor\n" + _body(REORDERED)
        options = {"flipped": network.channel_order == "bgr", "outputs": network.outputs}
        whole = f"Reordered({whole}, {_arguments(options)})"
    return source + EXTERNAL_LOADER.format(bare=call, whole=whole), needs


def _arguments(given: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in given.items())


def _call(name: str, arguments: Mapping[str, Any]) -> str:
    return f"{name}({_arguments(arguments)})"


def _normalized(call: str, normalization: Normalization) -> str:
    return f"Normalized({call}, {list(normalization.mean)}, {list(normalization.std)})"


def _alone(path: Path, text: str, instead: Sequence[str] = ()) -> str:
    """Return the source `text` of `path` with `instead` in place of what it imports of bench.

    What comes from another file of the same folder is written in.
    """
    lines, tree = text.splitlines(), ast.parse(text)
    imports = [
        node
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bench.")
    ]
    others = [node for node in imports if _beside(node)]
    taken = [
        alias
        for node in imports
        if node not in others
        for alias in node.names
        if alias.name != "register"
    ]
    # Errors of this suite mean a wrong value; without the suite they are ValueErrors.
    aliases = [f"{one.asname or one.name} = ValueError" for one in taken if "Error" in one.name]
    decorators = [
        decorator
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
        for decorator in node.decorator_list
        if _registers(decorator) is not None
    ]
    unwanted: list[ast.stmt | ast.expr] = [*imports, *decorators]
    removed = {
        number
        for node in unwanted
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    kept = [line for number, line in enumerate(lines, 1) if number not in removed]
    if imports:
        files = [path.with_name(f"{str(node.module).rpartition('.')[2]}.py") for node in others]
        written = [_alone(file, _body(file)) for file in files]
        inserted = [*instead, *([""] if aliases else []), *aliases, *written]
        kept[imports[0].lineno - 1 : imports[0].lineno - 1] = inserted
    source = "\n".join(kept) + "\n"
    if len(aliases) < len(taken) or USES_BENCH.search(source):
        raise BenchError(
            f"{path}: it imports more of bench than `register`, errors and what files of its "
            "folder that register nothing have, which an exported folder does not have; write "
            "that into this file"
        )
    return source


def _beside(node: ast.ImportFrom) -> bool:
    """Return whether it imports from a file of networks that registers nothing itself."""
    folder, _, name = (node.module or "").rpartition(".")
    return folder == "bench.models" and name not in ("base", "checkpoint")


def _body(path: Path) -> str:
    """Return the source of a module after its docstring and `from __future__`."""
    text = path.read_text(encoding="utf-8")
    head = [
        node.end_lineno or node.lineno
        for node in ast.parse(text).body
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
    ]
    return "\n".join(text.splitlines()[max(head, default=0) :])


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
