"""What methods and models declare, read from their source: planning cannot import torch."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bench.config import parsing
from bench.config.method_source import assignments, check_method
from bench.config.parsing import Label, nearest, suggestion, value_of
from bench.config.schema import Method
from bench.runtime.errors import ConfigError, Problems

PACKAGE = Path(__file__).parents[1]
REQUIRED = object()
UNITS = ("Amount", "Count", "Label", "Pixels", "Positive", "Share", "Whole")
TYPES: dict[str, Any] = {
    **{name: getattr(parsing, name) for name in UNITS},
    **{kind.__name__: kind for kind in (bool, float, int, str)},
}
# What a method's class declares as literals, beside its options.
LITERALS = (
    *("passes", "teacher_passes", "statistics_passes"),
    *("networks", "only", "share_of_eps", "at_most", "pretrained"),
    "below_epochs",
)
Declared = ast.ClassDef | ast.FunctionDef


class Option(NamedTuple):
    """The type of a method's option, and its default or REQUIRED."""

    type: Any
    default: Any


def registered(folder: Path) -> dict[str, Declared]:
    """Return what the modules of `folder` decorate with ``@register("name")``, by name.

    Raises
    ------
    ConfigError
        As `declarations` does.
    """
    found: dict[str, Declared] = {}
    for path in sorted(folder.glob("*.py")):
        found |= declarations(path)
    return found


def declarations(path: Path) -> dict[str, Declared]:
    """Return what the file decorates with ``@register("name")``: at most one thing, of its name.

    Raises
    ------
    ConfigError
        The file is not Python, or registers something under another name than its own, by which
        the digest of a run's code looks for it.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ConfigError(
            f"{path}{f', line {line}' if line else ''}: it is not Python ({reason}); fix the file "
            "or move it away"
        ) from None
    found: dict[str, Declared] = {}
    for node in tree.body:
        if not isinstance(node, Declared):
            continue
        for decorator in node.decorator_list:
            match decorator:
                case ast.Call(
                    func=ast.Name(id="register") | ast.Attribute(attr="register"),
                    args=[ast.Constant(value=str(name))],
                ):
                    found[name] = node
    for name in found:
        if name != path.stem:
            raise ConfigError(
                f"{path}: it registers {name!r}, and a file is called as what it registers: rename "
                f"it {name}.py, or register {path.stem!r} in it"
            )
    return found


@cache
def model_names() -> tuple[str, ...]:
    """Return the names of all architectures, sorted."""
    return tuple(sorted(registered(PACKAGE / "models")))


@cache
def default_width(name: str) -> int | None:
    """Return the width that the architecture `name` has of itself; None where it takes none."""
    builder = registered(PACKAGE / "models")[name]
    functions = builder.body if isinstance(builder, ast.ClassDef) else [builder]
    for function in functions:
        if isinstance(function, ast.FunctionDef) and function.name in ("__init__", builder.name):
            given = function.args
            arguments = [*given.args, *given.kwonlyargs]
            without = [None] * (len(given.args) - len(given.defaults))
            defaults = [*without, *given.defaults, *given.kw_defaults]
            for argument, default in zip(arguments, defaults, strict=True):
                if argument.arg == "width" and default is not None:
                    return _width(name, default)
    return None


def _width(name: str, default: ast.expr) -> int:
    try:
        return int(ast.literal_eval(default))
    except ValueError:
        raise ConfigError(
            f"{PACKAGE / 'models' / name}.py, line {default.lineno}: the default width cannot be "
            "read without importing it: make it a literal"
        ) from None


@cache
def method_names() -> tuple[str, ...]:
    """Return the names of all methods, sorted."""
    return tuple(sorted(registered(PACKAGE / "methods")))


@cache
def method_options(name: str) -> dict[str, Option]:
    """Return every option of the method `name`, in declared order; see `options_in`.

    Raises
    ------
    ConfigError
        As `options_in` and `check_method` do.
    """
    path, method = PACKAGE / "methods" / f"{name}.py", registered(PACKAGE / "methods")[name]
    check_method(path, method)
    try:
        return options_in(name, method)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


@cache
def declared(name: str, what: str) -> Any:
    """Return the literal that the class of the method `name` assigns to `what`; None without one.

    Raises
    ------
    ConfigError
        It is no literal, so only an import could understand it.
    """
    return declared_in(registered(PACKAGE / "methods")[name], what)


def robust(name: str) -> bool:
    """Return whether the method `name` trains on adversarial images."""
    return "adversarial" in (declared(name, "passes") or ())


def needs(name: str, options: Mapping[str, Any], start: str | None) -> dict[str, str]:
    """Return the other methods whose best weights of the same seed a training needs.

    They are by what they are for: "start", to begin with, and each option of the type `Label` of
    the method `name`.
    """
    labels = [key for key, option in method_options(name).items() if option.type is Label]
    found = {key: str(options[key]) for key in labels}
    return found if start is None else {"start": start, **found}


def options_in(name: str, declared: Declared, kind: str = "method") -> dict[str, Option]:
    """Return every option of the class `declared`, in declared order; `kind` is what it is.

    Raises
    ------
    ConfigError
        It declares an option that only an import could understand.
    """
    found: dict[str, Option] = {}
    for node in declared.body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        if "ClassVar" in ast.unparse(node.annotation):
            continue
        option = node.target.id
        try:
            default = REQUIRED if node.value is None else ast.literal_eval(node.value)
            found[option] = Option(_type(node.annotation), default)
        except ValueError:
            raise ConfigError(
                f"the option {option!r} of the {kind} {name!r} cannot be read without importing "
                f"it: give it a literal default, and as its type a Literal or one of {list(TYPES)}"
            ) from None
    return found


def declared_in(method: Declared, what: str) -> Any:
    """Return the literal that the class `method` assigns to `what`; see `declared`."""
    value = assignments(method).get(what)
    if value is None:
        return None
    try:
        return ast.literal_eval(value)
    except ValueError:
        raise ConfigError(
            f"`{what}` of {method.name!r} cannot be read without importing it: make it a literal"
        ) from None


def check_only(
    only: Mapping[str, tuple[str, ...]],
    options: Mapping[str, Any],
    defaults: Mapping[str, Any],
    *,
    where: str,
) -> None:
    """Raise ConfigError where an option is given beside which another makes it mean nothing.

    `only` has, by option, the other option and the values of it with which the first one counts.
    Two runs that differ in the first alone would be the same training under two labels.
    """
    for option, (other, *values) in only.items():
        if options[option] != defaults[option] and options[other] not in values:
            raise ConfigError(
                f"{where}.{option}: {options[option]!r} counts with {other}: {' or '.join(values)} "
                f"only, and this is {other}: {options[other]}; leave it out"
            )


def check_at_most(at_most: Mapping[str, str], options: Mapping[str, Any], *, where: str) -> None:
    """Raise ConfigError where an option is above the one that `at_most` has for it."""
    for low, high in at_most.items():
        if None not in (options[low], options[high]) and options[low] > options[high]:
            raise ConfigError(
                f"{where}.{low}: {options[low]:.6g} is above {high}, which is {options[high]:.6g}; "
                "exchange or change them"
            )


def check_epochs(method: Method, *, where: str) -> None:
    """Raise ConfigError where epochs that an option counts leave none for the method itself."""
    for key in declared(method.name, "below_epochs") or ():
        if method.options[key] >= method.training.epochs:
            epochs = method.training.epochs
            raise ConfigError(
                f"{where}.{key}: {method.options[key]} of {epochs} epochs leave none that train "
                f"{method.name}; lower it"
            )


def in_pixels(method: Method, eps: float, *, where: str) -> Method:
    """Return `method` with the shares of eps filled in that its options of None stand for.

    Raises
    ------
    ConfigError
        An option is then above one that it must not exceed.
    """
    options, only = method.options, declared(method.name, "only") or {}
    left = {
        key: share * eps
        for key, share in (declared(method.name, "share_of_eps") or {}).items()
        if options[key] is None and (key not in only or options[only[key][0]] in only[key][1:])
    }
    filled = replace(method, options={**method.options, **left})
    check_at_most(declared(method.name, "at_most") or {}, filled.options, where=where)
    return filled


def as_shares(name: str, options: Mapping[str, Any], eps: float) -> dict[str, Any]:
    """Return `options` with None again in place of the shares of eps that None stands for.

    Whatever eps is, a method by the shares that its source names then has one text.
    """
    shares = declared(name, "share_of_eps") or {} if name in method_names() else {}
    return {
        key: None if key in shares and value == shares[key] * eps else value
        for key, value in options.items()
    }


def declared_options(name: Any, given: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Return every option of the method `name`, checked, with defaults, in declared order.

    Raises
    ------
    ConfigError
        The method or an option is unknown, an option without a default is missing, a value is not
        of the option's type, or the option means nothing beside another.
    """
    if name not in method_names():
        raise ConfigError(
            f"{where}.method: {name!r} is unknown; {nearest(str(name), method_names())}"
        )
    known = method_options(name)
    beside = ("method", "model", "training")
    path, whose = PACKAGE / "methods" / f"{name}.py", f"the method {name!r}"
    options = checked_options(whose, path, known, given, beside, where=where)
    defaults = {key: option.default for key, option in known.items()}
    check_only(declared(name, "only") or {}, options, defaults, where=where)
    check_at_most(declared(name, "at_most") or {}, options, where=where)
    return options


def checked_options(
    whose: str,
    path: Path,
    known: Mapping[str, Option],
    given: Mapping[str, Any],
    beside: Iterable[str],
    *,
    where: str,
) -> dict[str, Any]:
    """Return every option of `known`, checked, with defaults, in declared order.

    `whose` options they are, such as "the method 'mart'", and `path` registers it; `beside` are the
    keys that may stand beside them.

    Raises
    ------
    ConfigError
        An option is unknown, one without a default is missing, or a value is not of its type.
    """
    problems, meant = Problems(), set[str]()
    for key in given:
        if key not in known:
            problems.add(f"{where}: {whose} {_no_option(str(key), path, known, beside)}")
            meant.add(suggestion(str(key), known))
    options = {}
    for key, option in known.items():
        value = given.get(key, option.default)
        if value is REQUIRED:
            # A misspelt option is one mistake, not two.
            if key not in meant:
                problems.add(f"{where}: {whose} needs the option {key!r}")
            continue
        # A default too: 6 and 6.0 are the same option.
        with problems.collecting():
            options[key] = value_of(option.type, value, f"{where}.{key}")
    problems.settle()
    return options


def _no_option(key: str, path: Path, known: Mapping[str, Option], beside: Iterable[str]) -> str:
    """Return what to say of `key`, none of the options `known` of what `path` registers."""
    said = f"has no option {key!r}; "
    for node in declarations(path)[path.stem].body:
        named = map(ast.unparse, getattr(node, "targets", ()))
        if key in named and key not in ("attack", *LITERALS):
            where = f"{path}, line {node.lineno}"
            return f"{said}annotate it with its type in {where}, such as {key}: Amount"
    return said + nearest(key, (*known, *beside))


def _type(annotation: ast.expr) -> Any:
    match annotation:
        case ast.Name(id=name) if name in TYPES:
            return TYPES[name]
        case ast.Subscript(value=ast.Name(id="Literal"), slice=words):
            return Literal.__getitem__(ast.literal_eval(words))
        case ast.BinOp(left=kind, op=ast.BitOr(), right=ast.Constant(value=None)):
            return _type(kind) | None
    raise ValueError(ast.unparse(annotation))
