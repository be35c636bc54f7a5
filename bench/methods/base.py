"""What a method is, and the registry. A file of this package that registers one is found by itself.

A new method is one file with exactly one class like this, whose name in the registry is the file's:

    @register("mine")
    @dataclass(frozen=True, kw_only=True)
    class Mine(Method):
        attack: ClassVar[InnerAttack | None] = InnerAttack(loss="ce", start="uniform")
        passes: ClassVar[tuple[str, ...]] = ("clean", "adversarial")
        beta: Amount = 6.0

Its options are the fields that are not ClassVar, with literal defaults or none: the process that
plans the workflow reads them from the source, because it cannot import torch.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_type_hints

import torch
from torch import Tensor

from bench.attacks.inner import InnerAttack
from bench.config.method_options import check_only
from bench.config.method_source import check_passes
from bench.config.parsing import nearest, parse, value_of
from bench.runtime.errors import CodeError, ConfigError
from bench.runtime.exit_code import code_error, import_file


class Method(ABC):
    """A training objective as named terms, and the attack that it needs.

    Attributes
    ----------
    name
        Its name in the registry.
    attack
        The attack that makes x', or None where no adversarial image is needed.
    passes
        The forward passes of one step in order, out of "clean" (x), "adversarial" (x') and "memory"
        (x''). They are separate passes, because batch-norm's batch statistics are then those of
        one kind of image.
    only
        By an option, another one and the value of it that the first one counts with: a literal too.
    """

    name: ClassVar[str]
    attack: ClassVar[InnerAttack | None]
    passes: ClassVar[tuple[str, ...]]
    only: ClassVar[Mapping[str, tuple[str, str]]] = {}

    def __post_init__(self) -> None:
        """Check every option against its type, a whole number being as good as a float.

        One that means nothing beside another must not be given.
        """
        hints = get_type_hints(type(self), include_extras=True)
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            checked = value_of(hints[field.name], value, f"{self.name}.{field.name}")
            object.__setattr__(self, field.name, checked)
        defaults = {field.name: field.default for field in fields(self)}  # type: ignore[arg-type]
        check_only(self.only, vars(self), defaults, where=self.name)

    @property
    def memory(self) -> bool:
        """Whether the method recalls what the attack made of an image in an earlier epoch."""
        return "memory" in self.passes

    @abstractmethod
    def terms(self, logits: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Return the named terms of the objective, each a scalar mean over the batch.

        Parameters
        ----------
        logits
            Logits [B, K] of each pass. While the memory is still empty the key "memory" is absent.
        labels
            Classes [B] int64.
        """

    def objective(self, logits: Mapping[str, Tensor], labels: Tensor) -> Tensor:
        """Return the sum of the terms, which training lowers."""
        return total(self.terms(logits, labels))


def terms_of(method: Method, logits: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
    """Return the terms of `method` for one step, if they are what `Method.terms` promises.

    Raises
    ------
    CodeError
        The method's own code failed, or returned something else.
    """
    path = Path(inspect.getfile(type(method)))
    try:
        terms = method.terms(logits, labels)
    except Exception as error:
        raise code_error(error, path, f"terms of the method {method.name!r} failed") from error
    wrong = ""
    if not isinstance(terms, Mapping) or not terms:
        wrong = f"a mapping of names to tensors, got {type(terms).__name__}"
    else:
        for name, term in terms.items():
            if not isinstance(term, Tensor) or term.ndim:
                shape = list(term.shape) if isinstance(term, Tensor) else type(term).__name__
                wrong = f"a scalar tensor for {name!r} such as a mean over the batch, got {shape}"
        if not wrong and not any(term.requires_grad for term in terms.values()):
            wrong = "a term with a gradient, got constants alone"
    if wrong:
        raise CodeError(
            f"{path}: terms of the method {method.name!r} must return {wrong}; fix it there"
        )
    return terms


def total(terms: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of the terms of an objective."""
    return torch.stack(tuple(terms.values())).sum()


Kind = TypeVar("Kind", bound=type[Method])
_METHODS: dict[str, type[Method]] = {}


def register(name: str) -> Callable[[Kind], Kind]:
    """Offer the decorated class as the method `name`."""

    def offer(kind: Kind) -> Kind:
        if name in _METHODS:
            raise ValueError(f"two methods are called {name!r}")
        kind.name = name
        _METHODS[name] = kind
        return kind

    return offer


def names() -> tuple[str, ...]:
    """Return the names of all methods, sorted."""
    return tuple(sorted(_discovered()))


def create(name: str, options: Mapping[str, Any]) -> Method:
    """Return the method `name` with `options`.

    Raises
    ------
    ConfigError
        The method, an option or a pass is unknown, an option is missing, or its value is not
        allowed.
    CodeError
        Its own code fails.
    """
    known = _discovered()
    if name not in known:
        raise ConfigError(f"the method {name!r} is unknown; {nearest(name, known)}")
    kind = known[name]
    path = Path(inspect.getfile(kind))
    try:
        check_passes(kind.passes, kind.attack is not None, where=str(path))
        return parse(kind, options, where=name)
    except Exception as error:
        raise code_error(error, path, f"the method {name!r} cannot be made") from error


def _discovered() -> dict[str, type[Method]]:
    package = importlib.import_module("bench.methods")
    for module in pkgutil.iter_modules(package.__path__):
        import_file(f"bench.methods.{module.name}")
    return _METHODS
