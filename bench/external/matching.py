"""Which tensors of a file are the weights of a network, and why they are not."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from bench.external.weights_file import State
from bench.runtime.errors import BenchError

OPTIONAL = "num_batches_tracked"  # old files have none, and in evaluation mode it means nothing
# Of a layer that normalises images, which may lie beside the weights.
MOMENTS = {"mean": "mean", "mu": "mean", "std": "std", "sigma": "std"}
STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True)
class Match:
    """Tensors that fit a network by name and shape, and what else the entry holds."""

    entry: str
    state: State
    rest: State


def match(entries: Mapping[str, State], target: State, *, where: str) -> list[Match]:
    """Return every set of tensors that fits the names and shapes of `target`.

    A prefix that all names have, such as ``module.`` or ``backbone.``, is taken off, there and in
    the network, where a wrapper adds it; weights that lie beside others under another prefix are a
    set of their own, called as an entry is.

    Raises
    ------
    BenchError
        None fits; it says what is most likely wrong: another head, width, depth or architecture.
    """
    wrapped = _common(target)
    target = {name.removeprefix(wrapped): value for name, value in target.items()}
    needed = [name for name in target if not name.endswith(OPTIONAL)]
    found: list[Match] = []
    nearest: tuple[int, State] = (-1, {})
    for entry, state in entries.items():
        for prefix in _prefixes(state, needed):
            own = {
                name.removeprefix(prefix): one
                for name, one in state.items()
                if name.startswith(prefix)
            }
            fits = sum(name in own and own[name].shape == target[name].shape for name in needed)
            extra = [n for n in own if n not in target and n.rpartition(".")[2] not in MOMENTS]
            if fits == len(needed) and not extra:
                place = ".".join(filter(None, (entry, prefix.rstrip("."))))
                chosen = {wrapped + name: own.get(name, target[name]) for name in target}
                rest = {name: one for name, one in state.items() if not name.startswith(prefix)}
                rest |= {name: one for name, one in own.items() if name not in target}
                found.append(Match(place, chosen, rest))
            elif sum(name in own for name in needed) > nearest[0]:
                nearest = (sum(name in own for name in needed), own)
    if not found:
        raise BenchError(f"{where}: {mismatch(nearest[1], target)}")
    return found


def _common(names: Iterable[str]) -> str:
    """Return the modules that all `names` are in, as a prefix."""
    modules = zip(*(name.split(".")[:-1] for name in names), strict=False)
    common = itertools.takewhile(lambda level: len(set(level)) == 1, modules)
    return "".join(f"{level[0]}." for level in common)


def _prefixes(state: State, needed: list[str]) -> list[str]:
    """Return what stands before the names of the network in the file, the most frequent first."""
    by_last: dict[str, list[str]] = {}
    for name in needed:
        by_last.setdefault(name.rpartition(".")[2], []).append(name)
    counts: Counter[str] = Counter()
    for name in state:
        for ours in by_last.get(name.rpartition(".")[2], []):
            if name == ours or name.endswith(f".{ours}"):
                counts[name[: len(name) - len(ours)]] += 1
    most = max(counts.values(), default=0)
    return [prefix for prefix, count in counts.most_common() if count >= most / 2] or [""]


def mismatch(state: State, target: State) -> str:
    """Return the most likely reason why `state` is not of the network `target`, and the fix."""
    missing = [name for name in target if name not in state and not name.endswith(OPTIONAL)]
    extra = [name for name in state if name not in target]
    other = {n: (_shape(state[n]), _shape(target[n])) for n in target if n in state}
    other = {name: shapes for name, shapes in other.items() if shapes[0] != shapes[1]}
    if len(missing) > len(target) / 2:
        return (
            f"the weights are of another architecture: the file has {next(iter(extra), 'nothing')}"
            f", the network {missing[0]}; name its architecture"
        )
    if missing and all(name.endswith(STATISTICS) for name in missing) and not other:
        return (
            f"the file has no running statistics of batch-norm ({missing[0]}), without which the "
            "network cannot be evaluated; save the state_dict with its buffers"
        )
    if other and not missing and not extra:
        head = {name: shapes for name, shapes in other.items() if _head(name, other, target)}
        if len(head) == len(other):
            name, (theirs, ours) = next(iter(head.items()))
            return (
                f"the head has {theirs[0]} classes ({name}), and the images have {ours[0]}; use "
                "weights that were trained on these classes"
            )
        if len(other) == 1:
            name, (theirs, ours) = next(iter(other.items()))
            if theirs[:1] + theirs[2:] == ours[:1] + ours[2:]:
                return (
                    f"the network takes images of {theirs[1]} channels ({name}), and the images "
                    f"have {ours[1]}; use weights that were trained on such images"
                )
    if missing or extra:
        # Of another depth, only blocks are there or not.
        if all(re.search(r"\.\d+\.|block|layer", name) for name in [*extra, *missing]):
            have = f"has {extra[0]}" if extra else f"lacks {missing[0]}"
            return (
                f"the weights are of another depth: the file {have}"
                f"{_also(other)}; name the right variant or give its `arguments`"
            )
        name = (extra or missing)[0]
        have = "has" if extra else "lacks"
        return (
            f"the weights are of another variant: the file {have} {name}{_also(other)}; name the "
            "right architecture or give its `arguments`"
        )
    name, (theirs, ours) = next(iter(other.items()))
    return (
        f"the weights are of another width: {name} is {list(theirs)} in the file and {list(ours)} "
        "in the network; give the width in `arguments`, or name the right variant"
    )


def _also(other: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]) -> str:
    if not other:
        return ""
    name, (theirs, ours) = next(iter(other.items()))
    return f", and {name} is {list(theirs)} there, not {list(ours)}"


def _head(name: str, other: Iterable[str], target: State) -> bool:
    """Return whether `name` is of the last layer, of which nothing but the classes differ."""
    last = list(target)[-1].rpartition(".")[0]
    return name.rpartition(".")[0] == last


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
