"""What a method is, and the registry. A file of this package that registers one is found by itself.

A new method is one file with exactly one class like this, whose name in the registry is the file's:

    @register("mine")
    @dataclass(frozen=True, kw_only=True)
    class Mine(Method):
        attack: ClassVar[InnerAttack | None] = InnerAttack(loss="ce", start="uniform")
        passes: ClassVar[tuple[str, ...]] = ("clean", "adversarial")
        beta: Amount = 6.0

        def terms(self, logits, labels): ...

Where its logits come about in another way than by one attack and one pass for each kind of image,
it has a `forward` too, written in the verbs of `bench.methods.step.Step`.

Its options are the fields that are not ClassVar, with literal defaults or none: the process that
plans the workflow reads them from the source, because it cannot import torch.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, get_type_hints

import torch
from torch import Tensor

from bench.attacks.inner import InnerAttack
from bench.config.method_options import check_at_most, check_only
from bench.config.method_source import check_passes
from bench.config.parsing import nearest, parse, value_of
from bench.methods.step import Step
from bench.runtime.errors import CodeError, ConfigError
from bench.runtime.exit_code import code_error, import_file

Kind = Literal["frozen", "trained", "average"]


class Method(ABC):
    """A training objective as named terms, and the attack that it needs.

    Attributes
    ----------
    name
        Its name in the registry.
    attack
        The attack that makes x', or None where `forward` makes none or makes it itself.
    passes
        The logits that `terms` reads and sends gradient to, in the order of their passes. Without a
        `forward` of its own they are out of "clean" (x), "adversarial" (x') and "memory" (x''), and
        each is a pass of its own, because batch-norm's batch statistics are then those of one kind
        of image. What is trained against an attack has "adversarial" among them.
    teacher_passes
        Logits that `terms` reads as constants: those of a frozen or an averaged network.
    statistics_passes
        Passes whose logits nobody reads, made for batch-norm's statistics, as authors' code does.
    networks
        Other networks of the architecture that is trained, by name and kind. "frozen": the best
        weights of another run of the same seed, which an option of that name and the type Label
        chooses. "trained": from initial weights of its own, in the same optimizer. "average": a
        copy of the network as training begins, which only `Step.move_average` changes.
    only
        By an option, another one and the values of it that the first one counts with.
    share_of_eps
        By an option in pixel values, the share of eps that None stands for.
    at_most
        By an option, another one that it must not be above.

    All but `attack` are literals: planning reads them from the source.
    """

    name: ClassVar[str]
    attack: ClassVar[InnerAttack | None]
    passes: ClassVar[tuple[str, ...]]
    teacher_passes: ClassVar[tuple[str, ...]] = ()
    statistics_passes: ClassVar[tuple[str, ...]] = ()
    networks: ClassVar[Mapping[str, Kind]] = {}
    only: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    share_of_eps: ClassVar[Mapping[str, float]] = {}
    at_most: ClassVar[Mapping[str, str]] = {}

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
        check_at_most(self.at_most, vars(self), where=self.name)

    @property
    def memory(self) -> bool:
        """Whether the method recalls what the attack made of an image in an earlier epoch."""
        return "memory" in self.passes

    @property
    def robust(self) -> bool:
        """Whether it trains on adversarial images."""
        return "adversarial" in self.passes

    def radius(self, eps: float) -> float:
        """Return how far its adversarial images may be from x, in the Linf norm."""
        return eps

    def forward(self, step: Step) -> dict[str, Tensor]:
        """Return the logits of a step by name, from passes over x, x' and x'' as declared."""
        images = {"clean": step.x}
        if self.attack is not None:
            images["adversarial"] = step.attack()
        if self.memory:
            recalled = step.recall()
            if recalled is not None:
                images["memory"] = recalled
            step.remember(images["adversarial"])
        asked = (*self.passes, *self.statistics_passes)
        return step.logits(**{name: images[name] for name in images if name in asked})

    @abstractmethod
    def terms(self, logits: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Return the named terms of the objective, each a scalar mean over the batch.

        Parameters
        ----------
        logits
            Logits [B, K] by name, as `forward` returns them. While the memory is still empty the
            key "memory" is absent.
        labels
            Classes [B] int64.
        """

    def objective(self, logits: Mapping[str, Tensor], labels: Tensor) -> Tensor:
        """Return the sum of the terms, which training lowers."""
        return total(self.terms(logits, labels))

    def backward(
        self, step: Step, logits: Mapping[str, Tensor], terms: Mapping[str, Tensor]
    ) -> None:
        """Leave the gradient of the weights in their `grad`: by default that of the objective."""
        total(terms).backward()  # type: ignore[no-untyped-call]

    def after_step(self, step: Step) -> None:  # noqa: B027 - most methods do nothing there
        """Do what follows the update of the weights: by default nothing."""


@contextmanager
def naming_file(method: Method, function: str) -> Iterator[None]:
    """Context manager that tells an error in the method's own `function` with the method's file.

    Raises
    ------
    CodeError
        The method's own code failed.
    """
    try:
        yield
    except Exception as error:
        if getattr(type(method), function) is getattr(Method, function):
            raise
        doing = f"{function} of the method {method.name!r} failed"
        raise code_error(error, _file(method), doing) from error


def _file(method: Method) -> Path:
    return Path(inspect.getfile(type(method)))


def logits_of(method: Method, step: Step) -> dict[str, Tensor]:
    """Return what `method.forward` returns for `step`.

    Raises
    ------
    CodeError
        The method's own code failed, or returned a pass that it does not declare.
    """
    with naming_file(method, "forward"):
        logits = method.forward(step)
    declared = (*method.passes, *method.teacher_passes, *method.statistics_passes)
    for name in logits:
        if name not in declared:
            raise CodeError(
                f"{_file(method)}: forward of the method {method.name!r} returns logits {name!r}, "
                f"which are in none of its lists of passes; {nearest(name, declared)}"
            )
    return logits


def terms_of(method: Method, logits: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
    """Return the terms of `method` for one step, if they are what `Method.terms` promises.

    Raises
    ------
    CodeError
        The method's own code failed, or returned something else.
    """
    with naming_file(method, "terms"):
        terms = method.terms(logits, labels)
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
            f"{_file(method)}: terms of the method {method.name!r} must return {wrong}; fix it "
            "there"
        )
    return terms


def total(terms: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of the terms of an objective."""
    return torch.stack(tuple(terms.values())).sum()


Registered = TypeVar("Registered", bound=type[Method])
_METHODS: dict[str, type[Method]] = {}


def register(name: str) -> Callable[[Registered], Registered]:
    """Offer the decorated class as the method `name`."""

    def offer(kind: Registered) -> Registered:
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
        check_passes(
            (kind.passes, kind.teacher_passes, kind.statistics_passes),
            attacked=kind.attack is not None,
            own_forward=kind.forward is not Method.forward,
            where=str(path),
        )
        return parse(kind, options, where=name)
    except Exception as error:
        raise code_error(error, path, f"the method {name!r} cannot be made") from error


def _discovered() -> dict[str, type[Method]]:
    package = importlib.import_module("bench.methods")
    for module in pkgutil.iter_modules(package.__path__):
        import_file(f"bench.methods.{module.name}")
    return _METHODS
