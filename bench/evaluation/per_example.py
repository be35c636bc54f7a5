"""Per-example results of one network: what it gets right, unattacked and under each attack.

The search for adversarial images may use TF32 or a copy of the network made for speed; a
per-example result never does. What a search found is evaluated again in float32 by the network
itself, and an image that only such a search saw broken is attacked once more without either.

Shape suffixes: N images evaluated, B of a batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from bench.attacks import autoattack
from bench.attacks.autoattack import AutoAttackState
from bench.attacks.base import TOLERANCE, Attack, SearchResult, ball, create
from bench.attacks.mode import evaluating
from bench.attacks.pgd import pgd
from bench.attacks.random_state import undisturbed
from bench.config.attack_options import attack_about
from bench.config.experiment import AutoAttack, EvaluationSpec
from bench.config.parsing import plain
from bench.data.dataset import Images, to_unit
from bench.evaluation.search import Search, registered_search, searched
from bench.evaluation.state import State
from bench.evaluation.witnesses import Candidates, encode
from bench.numerics.device import convolutions
from bench.numerics.seeding import stream, stream_seed
from bench.runtime.errors import BenchError


class Part(NamedTuple):
    """Every unit of AutoAttack whose number has this remainder: a job's part of all units."""

    number: int
    of: int


@dataclass(frozen=True, kw_only=True)
class ExampleResults:
    """What one attack did to the first N test images.

    `clean` and `robust` are bool [N] on the CPU; `broken_by` says which attack or component broke
    an image, "clean" where it was wrong unattacked, "" where it is robust. `peak_memory_mb` is
    None on a CPU and where nobody measured it. `found` are the adversarial images of those that
    fell, where `evaluation.witnesses` asks for them.
    """

    source: str
    seed: int | None
    eps: float
    clean: Tensor
    robust: Tensor
    broken_by: list[str]
    seconds: float
    peak_memory_mb: float | None = None
    details: dict[str, Any] = field(default_factory=dict)
    found: Candidates | None = None

    def plain(self) -> dict[str, Any]:
        """Return it as what JSON can hold, without the images."""
        masks = {"clean": self.clean.tolist(), "robust": self.robust.tolist()}
        return {key: value for key, value in vars(self).items() if key != "found"} | masks

    @classmethod
    def of_plain(cls, plain: dict[str, Any]) -> Self:
        """Return what `plain` made of it."""
        masks = {name: torch.tensor(plain[name], dtype=torch.bool) for name in ("clean", "robust")}
        return cls(**{**plain, **masks})


def evaluate_attack(
    model: nn.Module,
    test: Images,
    name: str,
    spec: EvaluationSpec,
    state: State | None = None,
    others: Mapping[str, nn.Module] | None = None,
    part: Part | None = None,
) -> ExampleResults:
    """Return the results of the attack `name` of `spec`, which "clean" is one of.

    `model`, `test` and `others`, the networks that attacks may use beside it, are on the device of
    the job. With `state` AutoAttack and registered attacks resume where an interrupted run stopped.
    Of AutoAttack only the units of `part`.
    """
    # Of a random network the results are repeatable too.
    with undisturbed(test.pixels.device, stream_seed(0, "evaluation", name)):
        if name == "clean":
            return _clean(model, test, spec)
        if name == "autoattack" and spec.evaluation.autoattack is not None:
            return _autoattack(model, test, spec.evaluation.autoattack, spec, state, part)
        if name in spec.evaluation.attacks:
            return _registered(model, test, name, spec, others or {}, state)
        return _pgd(model, test, name, spec)


def correct(
    model: nn.Module, images: Tensor, labels: Tensor, batch_size: int, *, tf32: bool = False
) -> Tensor:
    """Return which images [N, C, H, W] in [0, 1] are classified correctly: bool [N]."""
    parts, seed = [], stream_seed(0, "evaluation", "forward")
    with (
        evaluating(model),
        torch.no_grad(),
        convolutions(tf32=tf32),
        undisturbed(images.device, seed),
    ):
        for images_BCHW, labels_B in zip(
            torch.split(images, batch_size), torch.split(labels, batch_size), strict=True
        ):
            parts.append(model(images_BCHW).argmax(dim=1) == labels_B)
    return torch.cat(parts)


def _clean(model: nn.Module, test: Images, spec: EvaluationSpec) -> ExampleResults:
    began, batch_size = time.perf_counter(), spec.evaluation.batch_size
    images = to_unit(test.pixels)
    right = correct(model, images, test.labels, batch_size).cpu()
    asked = spec.evaluation.witnesses
    return ExampleResults(
        source="suite",
        seed=None,
        eps=0.0,
        clean=right,
        robust=right,
        broken_by=["" if fine else "clean" for fine in right.tolist()],
        seconds=time.perf_counter() - began,
        details={"batch_size": batch_size},
        found=encode(model, test, images.cpu(), ~right, eps=spec.threat.eps) if asked else None,
    )


def _pgd(model: nn.Module, test: Images, name: str, spec: EvaluationSpec) -> ExampleResults:
    """Return the results of PGD with its first seed, and how many images each seed left robust."""
    attack = spec.evaluation.pgd[name]
    test = _first(test, attack.images)
    first, *others = [
        _pgd_of_seed(model, test, name, spec, seed)
        for seed in range(attack.seed, attack.seed + attack.seeds)
    ]
    if not others:
        return first
    every = [first, *others]
    counts = {str(one.seed): int(one.robust.sum()) for one in every}
    return replace(
        first,
        seconds=sum(one.seconds for one in every),
        details={**first.details, "correct_by_seed": counts},
    )


def _pgd_of_seed(
    model: nn.Module, test: Images, name: str, spec: EvaluationSpec, seed: int
) -> ExampleResults:
    """Return the results of PGD; the starts of a batch depend on the place of its first image."""
    attack, batch_size = spec.evaluation.pgd[name], spec.evaluation.batch_size

    def search(network: nn.Module, images: Tensor, labels: Tensor, tf32: bool) -> SearchResult:
        parts = []
        with convolutions(tf32=tf32):
            for first in range(0, len(images), batch_size):
                part = slice(first, first + batch_size)
                generator = stream(seed, "pgd", first, device=images.device)
                moved = pgd(
                    network,
                    images[part],
                    labels[part],
                    eps=spec.threat.eps,
                    step=attack.size,
                    steps=attack.steps,
                    restarts=attack.restarts,
                    loss=attack.loss,
                    generator=generator,
                )
                parts.append(moved)
        found = torch.cat(parts)
        robust = correct(network, found, labels, batch_size, tf32=tf32)
        return SearchResult(images=found, by=["" if kept else name for kept in robust.tolist()])

    details = {
        "steps": attack.steps,
        "step_size": attack.size,
        "restarts": attack.restarts,
        "loss": attack.loss,
        "start": "uniform",
    }
    return _checked(model, test, name, search, spec, source="suite", seed=seed, details=details)


def _registered(
    model: nn.Module,
    test: Images,
    label: str,
    spec: EvaluationSpec,
    others: Mapping[str, nn.Module],
    state: State | None,
) -> ExampleResults:
    """Return the results of an attack that a file of bench/attacks registers."""
    asked = spec.evaluation.attacks[label]
    attack, test = create(asked.attack, asked.options), _first(test, asked.images)
    beside = others if attack.other_networks else {}
    resumed = registered_search(attack, label, spec, model, beside, state)
    warnings: list[str] = []

    def search(network: nn.Module, images: Tensor, labels: Tensor, tf32: bool) -> SearchResult:
        found = resumed(network, images, labels, tf32)
        warnings.extend(text for text in found.warnings if text not in warnings)
        return found

    details: dict[str, Any] = {
        "attack": attack.name,
        "about": " ".join([attack_about(attack.name), *_chosen(attack)]),
        "options": plain(attack),
        "warnings": warnings,
    }
    source = attack.source()
    results = _checked(
        model, test, label, search, spec, source=source, seed=asked.seed, details=details
    )
    warnings.extend(attack.remarks(results.broken_by))
    return results


def _chosen(attack: Attack) -> list[str]:
    """Return the options of `attack` that are not at their defaults, as one remark if there are."""
    defaults = {field.name: field.default for field in fields(attack)}  # type: ignore[arg-type]
    chosen = [f"{name}={value}" for name, value in plain(attack).items() if value != defaults[name]]
    return [f"({', '.join(chosen)})"] if chosen else []


def _autoattack(
    model: nn.Module,
    test: Images,
    attack: AutoAttack,
    spec: EvaluationSpec,
    state: State | None,
    part: Part | None,
) -> ExampleResults:
    """Return the per-example results of AutoAttack, unit by unit.

    A unit is a batch of the test set and a run of its own: the first has the seed of `attack`, each
    further one the next. So it does not matter which job makes it.
    """
    test, size = _first(test, attack.images), spec.evaluation.batch_size
    parts = []
    for number, first in enumerate(range(0, len(test), size)):
        if part is not None and number % part.of != part.number:
            continue
        unit = slice(first, first + size)
        images = Images(test.pixels[unit], test.labels[unit])
        kept = state.unit(number) if state else None
        results = finished_results(kept, spec) if kept else None
        if results is None:
            results = _unit(model, images, attack, spec, number, kept)
            if kept:
                finish_results(kept, results)
        parts.append((first, results))
    if not parts:
        return _of_no_images(attack, spec)
    joined = _joined(parts)
    left = int(joined.clean.sum()) - joined.broken_by.count("autoattack")
    components = {}
    for component in autoattack.STANDARD:
        left -= joined.broken_by.count(component)
        components[component] = left
    robust = {"clean": int(joined.clean.sum()), **components}
    remarks = autoattack.remarks_on_square(robust, len(joined.clean))
    warnings = [*joined.details["warnings"], *remarks]
    details = {**joined.details, "warnings": warnings, "components": components}
    return replace(joined, details=details)


def _of_no_images(attack: AutoAttack, spec: EvaluationSpec) -> ExampleResults:
    """Return the results of a part of fewer units than parts."""
    none = torch.empty(0, dtype=torch.bool)
    return ExampleResults(
        source=autoattack.source(),
        seed=attack.seed,
        eps=spec.threat.eps,
        clean=none,
        robust=none,
        broken_by=[],
        seconds=0.0,
    )


def _unit(
    model: nn.Module,
    test: Images,
    attack: AutoAttack,
    spec: EvaluationSpec,
    number: int,
    state: State | None,
) -> ExampleResults:
    """Return the per-example results of AutoAttack on one unit, the images of `test`."""
    evaluation, warnings = spec.evaluation, list[str]()

    def search(network: nn.Module, images: Tensor, labels: Tensor, tf32: bool) -> SearchResult:
        way = "eager" if network is model else evaluation.engine
        place = f"{way}-{'tf32' if tf32 else 'float32'}"
        with convolutions(tf32=tf32):
            result = autoattack.run_standard(
                network,
                images,
                labels,
                eps=spec.threat.eps,
                seed=attack.seed + number,
                batch_size=evaluation.batch_size,
                device=images.device,
                version=attack.version,
                start=state.begun(place, AutoAttackState) if state else None,
                report=state.keeper(place) if state else None,
                progress=_told(number),
            )
        if state:
            state.write(place, result)
        warnings.extend(text for text in result.warnings if text not in warnings)
        return SearchResult(images=result.adversarial.to(images.device), by=result.broken_by)

    return _checked(
        model,
        test,
        "autoattack",
        search,
        spec,
        source=autoattack.source(),
        seed=attack.seed,
        details={"version": attack.version, "warnings": warnings},
    )


def _joined(parts: Sequence[tuple[int, ExampleResults]]) -> ExampleResults:
    """Return the results of all `parts`, each with the place of its first image."""
    results = [one for _, one in parts]
    texts = [text for one in results for text in one.details["warnings"]]
    found = [one.found.moved(first) for first, one in parts if one.found is not None]
    return replace(
        results[0],
        clean=torch.cat([one.clean for one in results]),
        robust=torch.cat([one.robust for one in results]),
        broken_by=[text for one in results for text in one.broken_by],
        seconds=sum(one.seconds for one in results),
        details={**results[0].details, "warnings": list(dict.fromkeys(texts))},
        found=Candidates.joined(found) if found else None,
    )


def finished_results(state: State, spec: EvaluationSpec) -> ExampleResults | None:
    """Return what was kept of an attack; None where it is not finished, or its images are missing.

    The images are needed where `evaluation.witnesses` asks for them.
    """
    plain = state.finished()
    if plain is None:
        return None
    results = ExampleResults.of_plain(plain)
    if not spec.evaluation.witnesses:
        return results
    found = Candidates.find(state.candidates, state.identity)
    return None if found is None else replace(results, found=found)


def finish_results(state: State, results: ExampleResults) -> None:
    """Keep the results of a finished attack, and the images that it found, if asked for."""
    if results.found is not None:
        # First, so that a finished attack always has them.
        results.found.write(state.candidates, state.identity)
    state.finish(results.plain())


def _checked(
    model: nn.Module,
    test: Images,
    name: str,
    search: Search,
    spec: EvaluationSpec,
    *,
    source: str,
    seed: int,
    details: dict[str, Any],
) -> ExampleResults:
    """Search, then let `model` evaluate what was found in float32; `name` is the attack's."""
    began = time.perf_counter()
    evaluation, compute, eps = spec.evaluation, spec.compute, spec.threat.eps
    images, labels, batch_size = to_unit(test.pixels), test.labels, evaluation.batch_size
    clean = correct(model, images, labels, batch_size)
    exact = evaluation.engine == "eager" and not compute.tf32
    found = search(searched(model, evaluation.engine), images, labels, compute.tf32)
    _check_ball(found.images, images, eps, name)
    robust = clean & correct(model, found.images, labels, batch_size)
    by, moved = list(found.by), found.images
    claimed = torch.tensor([text != "" for text in by], device=robust.device)
    index = (robust & claimed).nonzero().flatten()
    if not exact and len(index):
        second = search(model, images[index], labels[index], False)
        _check_ball(second.images, images[index], eps, name)
        moved = moved.index_copy(0, index, second.images)
        robust[index] &= correct(model, second.images, labels[index], batch_size)
        for place, text in zip(index.tolist(), second.by, strict=True):
            by[place] = text
    broken_by = []
    for fine, kept, text in zip(clean.tolist(), robust.tolist(), by, strict=True):
        # Last bits may differ between a search and its re-check: what the search did not see fall
        # is put down to the attack as a whole.
        broken = name if text in ("", "clean") else text
        broken_by.append("clean" if not fine else "" if kept else broken)
    return ExampleResults(
        source=source,
        seed=seed,
        eps=eps,
        clean=clean.cpu(),
        robust=robust.cpu(),
        broken_by=broken_by,
        seconds=time.perf_counter() - began,
        details={
            **details,
            "batch_size": batch_size,
            "search_tf32": compute.tf32,
            "search_engine": evaluation.engine,
        },
        found=encode(model, test, moved.cpu(), (clean & ~robust).cpu(), eps=eps)
        if evaluation.witnesses
        else None,
    )


def _check_ball(moved: Tensor, images: Tensor, eps: float, name: str) -> None:
    distance, low, high = ball(moved, images)
    if not distance <= eps + TOLERANCE or low < 0 or high > 1:
        raise BenchError(
            f"{name}: an adversarial image left its ball (distance {distance:.6g}, eps {eps:.6g}) "
            f"or [0, 1] (values {low:.6g} to {high:.6g}); no result was written; run the same "
            "command again, and if it fails again, train the run again or try another device"
        )


def _first(test: Images, count: int | None) -> Images:
    if count is not None and count > len(test):
        raise BenchError(
            f"evaluation: {count} images are asked for and the test set has {len(test)}; lower "
            "`images` of the attack"
        )
    return test if count is None else Images(test.pixels[:count], test.labels[:count])


def _told(unit: int) -> Callable[[str, int, int], None]:
    def tell(component: str, robust: int, total: int) -> None:
        print(f"  unit {unit}: {robust} of {total} robust after {component}", flush=True)

    return tell
