"""One experiment: the sections of its configuration, checked against each other.

Standard library only: the process that plans the workflow has no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

from bench.config.attack_options import declared_attack
from bench.config.job_specs import (
    DiagnosticsSpec,
    EvaluationSpec,
    Experiment,
    NetworkSpec,
    TrainSpec,
    spec_json,
)
from bench.config.method_options import (
    check_epochs,
    declared_options,
    default_width,
    in_pixels,
    model_names,
    needs,
    robust,
)
from bench.config.parsing import Whole, check_keys, nearest, parse, value_of
from bench.config.schema import (
    CHECKPOINTS,
    NAME,
    Ablation,
    Attack,
    AutoAttack,
    Compute,
    Data,
    Diagnostics,
    Evaluation,
    Method,
    Model,
    Network,
    Optimizer,
    Pgd,
    Reference,
    RegisteredAttack,
    Schedule,
    Threat,
    Training,
)
from bench.runtime.errors import ConfigError, Problems

__all__ = [
    "Ablation",
    "Attack",
    "AutoAttack",
    "Compute",
    "Data",
    "Diagnostics",
    "DiagnosticsSpec",
    "Evaluation",
    "EvaluationSpec",
    "Experiment",
    "Method",
    "Model",
    "Network",
    "NetworkSpec",
    "Optimizer",
    "Pgd",
    "Reference",
    "RegisteredAttack",
    "Schedule",
    "Threat",
    "TrainSpec",
    "Training",
    "experiment",
    "spec_json",
]
# What results/ already holds beside the folders of experiments.
TAKEN = ("external", "performance", "reference", "summary.csv")


KINDS: dict[str, Any] = {
    "data": Data,
    "model": Model,
    "threat": Threat,
    "compute": Compute,
    "training": Training,
    "evaluation": Evaluation,
    "reference": Reference,
}
OPTIONAL: dict[str, Any] = {
    "reference": {},
    "networks": {},
    "diagnostics": None,
    "ablations": {},
    "claims": None,
}
# What only a training needs, so that networks of others may be evaluated alone.
OF_TRAINING = ("seeds", "model", "training", "methods")


def experiment(raw: Any) -> Experiment:
    """Return the typed experiment, or raise ConfigError naming every key that is wrong.

    Of what depends on another key nothing is said while that one is wrong itself.
    """
    if not isinstance(raw, Mapping):
        raise ConfigError(f"config: expected keys and values, got {raw!r}")
    known = tuple(dict.fromkeys(("experiment", "seeds", "methods", *KINDS, *OPTIONAL)))
    problems, parts = Problems(), dict[str, Any]()
    given = {**OPTIONAL, **raw}
    alone = bool(given["networks"]) and not given.get("methods")
    needed = [key for key in known if key not in OPTIONAL and not (alone and key in OF_TRAINING)]
    check_keys(raw, known, needed, problems, where="config")
    readers: dict[str, Callable[[Any], Any]] = {
        "experiment": _name,
        "seeds": _seeds,
        **{key: partial(parse, kind, where=key) for key, kind in KINDS.items()},
        "evaluation": _evaluation,
    }
    for key, read in readers.items():
        if key in given:
            with problems.collecting():
                parts[key] = read(given[key])
    if "model" in parts:
        with problems.collecting():
            parts["model"] = with_own_width(parts["model"])
    if "threat" in parts:
        with problems.collecting():
            _fill_in_steps(parts)
    with problems.collecting():
        parts["networks"] = _networks(given["networks"])
        if alone and "seeds" not in given:
            seeds = (seed for network in parts["networks"].values() for seed in network.weights)
            parts["seeds"] = tuple(sorted(set(seeds)))
    with problems.collecting():
        parts["diagnostics"] = _diagnostics(given["diagnostics"], parts.get("seeds"))
    with problems.collecting():
        # Whether there are files of these names is asked where they are read.
        parts["claims"] = value_of(tuple[str, ...] | None, given["claims"], "claims")
    if not alone and "methods" in given:
        shared = Shared(
            recipe=given["training"] if "training" in parts else None,
            threat=parts.get("threat"),
            model=parts.get("model"),
        )
        with problems.collecting():
            parts["methods"] = _methods(given["methods"], shared)
    if alone or parts.get("methods"):
        with problems.collecting():
            parts["ablations"] = _ablations(given["ablations"], parts.get("methods", ()))
    problems.settle()
    whole = Experiment(**parts)
    _check_across(whole, problems)
    problems.settle()
    return whole


def _check_across(experiment: Experiment, problems: Problems) -> None:
    """Add what is wrong with methods beside other sections or methods."""
    networks = dict[str, Method]()
    for method in experiment.methods:
        other = networks.setdefault(method.model.label, method)
        if other.model != method.model:
            problems.add(
                f"methods.{method.label}.model.normalization: it is not that of {other.label}, and "
                f"results call both networks {method.model.label}; give both methods the same one, "
                "or one of them null"
            )
        if method.label in experiment.reference.models:
            problems.add(
                f"methods.{method.label}: a model of reference.models has this name; rename one"
            )
        if method.training.engine == "cuda_graph" and experiment.compute.device != "cuda":
            problems.add(
                f"methods.{method.label}: training.engine cuda_graph records for a CUDA device, "
                "and compute.device is cpu; choose engine: folded"
            )
        if method.training.awp is not None and not robust(method.name):
            problems.add(
                f"methods.{method.label}.training.awp: {method.name} trains on no adversarial "
                "images, for which weights are perturbed; add training: {awp: null}"
            )
    taken = {method.label.lower() for method in experiment.methods}
    taken |= set(map(str.lower, experiment.reference.models))
    for label in experiment.networks:
        if label.lower() in taken:
            problems.add(
                f"networks.{label}: a method or a model of reference.models has this name; rename "
                "one"
            )
    with problems.collecting():
        shared = experiment.training
        _check_needs(experiment.methods, shared.start if shared else None)
    for label, seed in experiment.evaluated():
        if experiment.attacks_use_networks and len(experiment.labels_of(seed)) < 2:
            problems.add(
                f"evaluation.attacks: an attack uses other networks of a seed, and {label!r} is "
                f"the only one of seed {seed}; add another or remove the attack"
            )
    if (count := experiment.data.test_images) is not None:
        with problems.collecting():
            # Classes are known once the images are read.
            needs = replace(experiment.needs, classes=0)
            needs.check(experiment.data.name, classes=0, test_images=count)


def _evaluation(raw: Any) -> Evaluation:
    """Return the section, the options of each of its attacks apart from the attack's other keys."""
    attacks = raw.get("attacks") if isinstance(raw, Mapping) else None
    if not isinstance(attacks, Mapping):
        return parse(Evaluation, raw, where="evaluation")
    problems, found = Problems(), dict[Any, Any]()
    for label, given in sorted(attacks.items(), key=str):
        with problems.collecting():
            where = f"evaluation.attacks.{label}"
            found[label] = declared_attack(str(label), given, where=where)
    with problems.collecting():
        evaluation = parse(Evaluation, {**raw, "attacks": found}, where="evaluation")
    problems.settle()
    return evaluation


def _name(raw: Any) -> str:
    if not isinstance(raw, str) or not NAME.fullmatch(raw):
        raise ConfigError(f"experiment: {raw!r} cannot name a folder; try letters and digits")
    if raw.lower() in TAKEN:
        raise ConfigError(f"experiment: results/{raw} is something else; choose another name")
    return raw


def _fill_in_steps(parts: dict[str, Any]) -> None:
    """Fill in the steps of all attacks in `training` and `evaluation`, where these are right.

    A `training` whose attacks are not is taken out: every method would repeat it.
    """
    eps, problems = parts["threat"].eps, Problems()
    if "training" in parts:
        shared = parts.pop("training")
        with problems.collecting():
            parts["training"] = with_steps(shared, eps, where="training")
    if "evaluation" in parts:
        pgd = {}
        for attack, asked in sorted(parts["evaluation"].pgd.items()):
            with problems.collecting():
                pgd[attack] = with_step(asked, eps, where=f"evaluation.pgd.{attack}")
        parts["evaluation"] = replace(parts["evaluation"], pgd=pgd)
    problems.settle()


def with_own_width(model: Model, *, where: str = "model") -> Model:
    """Return `model` without a width that is the architecture's own: one network, one label.

    Raises
    ------
    ConfigError
        The architecture is unknown, or it has no width.
    """
    if model.name not in model_names():
        raise ConfigError(
            f"{where}.name: {model.name!r} is unknown; {nearest(model.name, model_names())}"
        )
    own = default_width(model.name)
    if model.width is not None and own is None:
        raise ConfigError(f"{where}.width: the model {model.name!r} has none; remove the key")
    return replace(model, width=None) if model.width == own else model


A = TypeVar("A", bound=Attack)


def with_step(attack: A, eps: float, *, where: str) -> A:
    """Return `attack` with its step filled in.

    Raises
    ------
    ConfigError
        The steps cannot reach the surface of the ball, or one is longer than its diameter.
    """
    step = eps / 4 if attack.step_size is None else attack.step_size
    if step > 2 * eps:
        raise ConfigError(
            f"{where}.step_size: {step:.6g} leads out of the ball from any point of it, as eps is "
            f"{eps:.6g}; choose at most {2 * eps:.6g} (divide by 255?)"
        )
    if attack.steps * step < eps * (1 - 1e-9):
        raise ConfigError(
            f"{where}: {attack.steps} steps of {step:.6g} cannot reach eps {eps:.6g}; "
            "raise steps or step_size"
        )
    return replace(attack, step_size=step)


def with_steps(training: Training, eps: float, *, where: str) -> Training:
    """Return `training` with the steps of both its attacks filled in, as `with_step` does."""
    problems, attacks = Problems(), {}
    for key in ("attack", "validation_attack"):
        with problems.collecting():
            attacks[key] = with_step(getattr(training, key), eps, where=f"{where}.{key}")
    problems.settle()
    return replace(training, **attacks)


def _seeds(raw: Any) -> tuple[int, ...]:
    if not isinstance(raw, list | tuple) or not raw:
        raise ConfigError(f"seeds: expected a list of whole numbers such as [0, 1], got {raw!r}")
    # Snakemake's --config hands numbers over as text, which Whole reads.
    seeds: tuple[int, ...] = value_of(tuple[Whole, ...], raw, "seeds")
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds: {list(seeds)} names a seed twice")
    return seeds


def _diagnostics(raw: Any, seeds: tuple[int, ...] | None) -> Diagnostics | None:
    """Return the section; its seeds must be among `seeds`, unless those are wrong (None)."""
    found: Diagnostics | None = value_of(Diagnostics | None, raw, "diagnostics")
    for seed in (found and found.seeds) or ():
        if seeds is not None and seed not in seeds:
            raise ConfigError(
                f"diagnostics.seeds: {seed} is not one of the experiment's seeds {list(seeds)}"
            )
    return found


class Shared(NamedTuple):
    """What all methods share; None where that section is wrong itself."""

    recipe: Any
    threat: Threat | None
    model: Model | None


def _methods(raw: Any, shared: Shared) -> tuple[Method, ...]:
    """Return all methods; of those that need a section that is wrong their options are checked.

    Raises
    ------
    ConfigError
        With all problems of all methods.
    """
    if not isinstance(raw, Mapping) or not raw:
        raise ConfigError(f"methods: expected at least one, such as trades: {{}}, got {raw!r}")
    problems, methods, before = Problems(), list[Method](), set[str]()
    for label, given in raw.items():
        with problems.collecting():
            methods += _method(label, given, before, shared)
        before.add(str(label).lower())
    problems.settle()
    return tuple(methods)


def _method(label: Any, given: Any, before: set[str], shared: Shared) -> list[Method]:
    """Return the method, or nothing where a section is wrong that it shares with all."""
    where, problems = f"methods.{label}", Problems()
    if not isinstance(label, str) or not NAME.fullmatch(label):
        raise ConfigError(f"{where}: {label!r} cannot name a folder; try letters and digits")
    if label.lower() in before:
        raise ConfigError(f"{where}: another label differs only in capitals; rename one")
    given = {} if given is None else given
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where}: expected options such as beta: 6, got {given!r}")
    options = dict(given)
    name = options.pop("method", label)
    own, model = options.pop("training", {}), options.pop("model", None)
    parts: dict[str, Any] = {"model": shared.model}
    with problems.collecting():
        parts["options"] = declared_options(name, options, where=where)
    if model is not None:
        with problems.collecting():
            found = parse(Model, model, where=f"{where}.model")
            parts["model"] = with_own_width(found, where=f"{where}.model")
    with problems.collecting():
        if not isinstance(own, Mapping):
            raise ConfigError(f"{where}.training: expected keys of training, got {own!r}")
        if shared.recipe is not None:
            training = parse(Training, _merged(shared.recipe, own), where=f"{where}.training")
            if shared.threat is not None:
                training = with_steps(training, shared.threat.eps, where=f"{where}.training")
            parts["training"] = training
    problems.settle()
    if "training" not in parts or parts["model"] is None:
        return []
    needed = needs(name, parts["options"], parts["training"].start)
    method = Method(label=label, name=name, needs=needed, **parts)
    check_epochs(method, where=where)
    threat = shared.threat
    return [method if threat is None else in_pixels(method, threat.eps, where=where)]


def _networks(raw: Any) -> dict[str, Network]:
    """Return the networks of others by label, each with all options of its method, if it has one.

    Raises
    ------
    ConfigError
        With all problems of all networks.
    """
    if not isinstance(raw, Mapping):
        raise ConfigError(f"networks: expected labels and their weights, got {raw!r}")
    problems, found = Problems(), dict[str, Network]()
    for label, given in raw.items():
        where = f"networks.{label}"
        with problems.collecting():
            if not isinstance(label, str) or not NAME.fullmatch(label):
                raise ConfigError(
                    f"{where}: {label!r} cannot name a folder; try letters and digits"
                )
            if label.lower() in map(str.lower, found):
                raise ConfigError(f"{where}: another label differs only in capitals; rename one")
            network = parse(Network, given, where=where)
            if ":" not in (network.architecture or ":"):
                network = _of_ours(network, where=where)
            if network.method is not None:
                options = declared_options(network.method, network.options, where=where)
                network = replace(network, options=options)
            found[label] = network
    problems.settle()
    return found


def _of_ours(network: Network, *, where: str) -> Network:
    """Return a network of one of our architectures, without a width that is its own."""
    for key in network.arguments:
        if key != "width":
            raise ConfigError(f"{where}.arguments: {key!r} is unknown; known: 'width'")
    raw = {"name": network.architecture, **network.arguments}
    model = with_own_width(
        parse(Model, raw, where=f"{where}.arguments"), where=f"{where}.architecture"
    )
    return replace(network, arguments={} if model.width is None else {"width": model.width})


def _check_needs(methods: tuple[Method, ...], shared: str | None) -> None:
    """Raise ConfigError where a method needs a run that is not there or that needs one itself.

    `shared` is the start of the section `training`, which holds where a method has no other.
    """
    needed = {method.label: method.needs for method in methods}
    models = {method.label: method.model for method in methods}
    for label, theirs in needed.items():
        for key, other in theirs.items():
            where = f"methods.{label}.{'training.start' if key == 'start' else key}"
            if key == "start" and other == shared:
                where = "training.start"
            if other not in needed:
                raise ConfigError(f"{where}: unknown method {other!r}; {nearest(other, needed)}")
            if needed[other]:
                raise ConfigError(
                    f"{where}: {other!r} needs {', '.join(needed[other].values())} itself; name a "
                    "method that does not start from another, such as a standard one"
                )
            if models[other] != models[label]:
                raise ConfigError(
                    f"{where}: {other!r} is a {models[other].label} and {label!r} a "
                    f"{models[label].label}; name a method of the same network"
                )


def _ablations(raw: Any, methods: tuple[Method, ...]) -> tuple[Ablation, ...]:
    if not isinstance(raw, Mapping):
        raise ConfigError(f"ablations: expected a choice and its methods, got {raw!r}")
    problems, found = Problems(), list[Ablation]()
    for choice, names in raw.items():
        with problems.collecting():
            found.append(_ablation(choice, names, [method.label for method in methods]))
    problems.settle()
    return tuple(found)


def _ablation(choice: Any, names: Any, known: list[str]) -> Ablation:
    where = f"ablations.{choice}"
    if not isinstance(names, list | tuple) or len(names) < 2:
        raise ConfigError(f"{where}: expected a list of two methods or more, the base first")
    for name in names:
        label, _, checkpoint = str(name).partition("/")
        if label not in known:
            raise ConfigError(f"{where}: unknown method {label!r}; {nearest(label, known)}")
        if checkpoint not in ("", *CHECKPOINTS):
            checkpoints = ", ".join(CHECKPOINTS)
            raise ConfigError(f"{where}: {name!r} names no checkpoint; known: {checkpoints}")
    if len(set(map(str, names))) < len(names):
        raise ConfigError(f"{where}: {list(names)} names a method twice")
    base, *variants = map(str, names)
    return Ablation(choice=str(choice), base=base, variants=tuple(variants))


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the keys of `own` in its place, section by section."""
    merged = dict(base)
    for key, value in own.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
