"""An experiment as it was read, and of it what decides each kind of result.

Standard library only: the process that plans the workflow has no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.config.attack_options import attack_declares
from bench.config.parsing import Count, Whole, nearest, plain
from bench.config.schema import (
    Ablation,
    Compute,
    Data,
    Diagnostics,
    Evaluation,
    Method,
    Model,
    Needs,
    Network,
    Reference,
    Threat,
    Training,
)
from bench.runtime.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class TrainSpec:
    """All that decides the weights of one run, but for the images themselves."""

    method: str
    options: dict[str, Any]
    seed: Whole
    model: Model
    threat: Threat
    training: Training
    compute: Compute

    @property
    def architecture(self) -> str:
        """The file of bench/models that it is of."""
        return self.model.name


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """All that decides the weights taken from a file of `network`, but for file and images."""

    network: Network
    seed: Whole
    threat: Threat
    compute: Compute

    @property
    def architecture(self) -> str:
        """The file of bench/models that it is of; empty where the architecture is of others."""
        name = self.network.architecture
        return "" if name is None or ":" in name else name

    @property
    def path(self) -> Path:
        """The file of the weights; of a folder that `bench export` wrote, its own."""
        path = Path(self.network.weights[self.seed]).expanduser()
        return path / "model.safetensors" if path.is_dir() else path

    @property
    def source(self) -> Path | None:
        """The Python file of the architecture, where it is the user's own."""
        kind = (self.network.architecture or "").rpartition(":")[0]
        return Path(kind).expanduser() if kind.endswith(".py") else None


@dataclass(frozen=True, kw_only=True)
class EvaluationSpec:
    """All that decides the per-example results on one run's weights, but for weights and images.

    `networks` are labels: attacks may use the best weights of these others of the same seed.
    """

    threat: Threat
    evaluation: Evaluation
    compute: Compute
    networks: tuple[str, ...] = ()

    @property
    def shared(self) -> EvaluationSpec:
        """What is the same for all runs of an experiment."""
        return replace(self, networks=())


@dataclass(frozen=True, kw_only=True)
class DiagnosticsSpec:
    """All that decides what diagnostics find in one run's weights, but for weights and images."""

    threat: Threat
    diagnostics: Diagnostics
    batch_size: Count
    compute: Compute


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Methods trained on one data set with the same seeds, and how they are evaluated.

    Where networks of others are evaluated alone, there are no methods, and `seeds` are theirs.
    """

    experiment: str
    seeds: tuple[Whole, ...]
    data: Data
    threat: Threat
    compute: Compute
    evaluation: Evaluation
    reference: Reference
    model: Model | None = None
    training: Training | None = None
    methods: tuple[Method, ...] = ()
    networks: dict[str, Network] = field(default_factory=dict)
    diagnostics: Diagnostics | None = None
    ablations: tuple[Ablation, ...] = ()
    claims: tuple[str, ...] | None = None

    def method(self, label: str) -> Method:
        """Return the method of that label, or raise ConfigError with the nearest one."""
        for method in self.methods:
            if method.label == label:
                return method
        known = [method.label for method in self.methods]
        raise ConfigError(f"methods: {label!r} is not in this config; {nearest(label, known)}")

    def train_spec(self, label: str, seed: int) -> TrainSpec:
        """Return all that decides the weights of the run (`label`, `seed`)."""
        if seed not in self.seeds:
            raise ConfigError(f"seeds: {seed} is not in this config; it has {list(self.seeds)}")
        method = self.method(label)
        return TrainSpec(
            method=method.name,
            options=method.options,
            seed=seed,
            model=method.model,
            threat=self.threat,
            training=method.training,
            compute=decisive(self.compute),
        )

    def network_spec(self, label: str, seed: int) -> NetworkSpec:
        """Return all that decides the weights of the network (`label`, `seed`) of others."""
        if label not in self.networks:
            raise ConfigError(
                f"networks: {label!r} is not in this config; {nearest(label, self.networks)}"
            )
        network = self.networks[label]
        if seed not in network.weights:
            raise ConfigError(
                f"networks.{label}.weights: no file for the seed {seed}; it has "
                f"{list(network.weights)}"
            )
        return NetworkSpec(
            # Other files change nothing for these weights.
            network=replace(network, weights={seed: network.weights[seed]}),
            seed=seed,
            threat=self.threat,
            compute=decisive(self.compute),
        )

    def origin_spec(self, label: str, seed: int) -> TrainSpec | NetworkSpec:
        """Return all that decides the weights of the run (`label`, `seed`), ours or not."""
        if label in self.networks:
            return self.network_spec(label, seed)
        return self.train_spec(label, seed)

    def evaluation_spec(self) -> EvaluationSpec:
        """Return all that decides the per-example results on a run's weights."""
        return EvaluationSpec(
            threat=self.threat,
            # How many jobs share the work changes no result.
            evaluation=replace(self.evaluation, jobs=1),
            compute=decisive(self.compute),
        )

    def evaluation_spec_of(self, label: str, seed: int) -> EvaluationSpec:
        """Return the same of one run, with the other networks where an attack uses them."""
        spec = self.evaluation_spec()
        if not self.attacks_use_networks:
            return spec
        others = sorted(other for other in self.labels_of(seed) if other != label)
        return replace(spec, networks=tuple(others))

    @property
    def attacks_use_networks(self) -> bool:
        """Return whether an attack uses other networks than the one that it attacks."""
        return any(
            attack.checkpoints and attack_declares(attack.attack, "other_networks")
            for attack in self.evaluation.attacks.values()
        )

    def diagnostics_spec(self) -> DiagnosticsSpec:
        """Return all that decides what diagnostics find, for whichever runs.

        Raises
        ------
        ConfigError
            The config has no diagnostics.
        """
        if self.diagnostics is None:
            raise ConfigError(
                "diagnostics: this config has none; add the section, such as diagnostics: {}"
            )
        return DiagnosticsSpec(
            threat=self.threat,
            # What else is diagnosed changes nothing for one network.
            diagnostics=replace(self.diagnostics, seeds=None, transfer=True),
            batch_size=self.evaluation.batch_size,
            compute=decisive(self.compute),
        )

    @property
    def needs(self) -> Needs:
        """What attacks and diagnostics need of the images."""
        needs, asked = self.evaluation.needs, self.diagnostics
        if asked is None or asked.images <= needs.test_images:
            return needs
        return replace(needs, test_images=asked.images, by="diagnostics.images")

    def architecture(self, label: str) -> str:
        """Return the file of bench/models behind a label; empty for an architecture of others."""
        if label in self.networks:
            network = self.networks[label]
            return self.network_spec(label, next(iter(network.weights))).architecture
        return self.method(label).model.name

    @property
    def models(self) -> tuple[Model, ...]:
        """The networks of all methods, each once."""
        return tuple(dict.fromkeys(method.model for method in self.methods))

    def runs(self) -> list[tuple[str, int]]:
        """Return every (method label, seed), methods in the order of the config."""
        return [(method.label, seed) for method in self.methods for seed in self.seeds]

    def external(self) -> list[tuple[str, int]]:
        """Return every (label, seed) of weights that were trained elsewhere."""
        return [(label, seed) for label, one in self.networks.items() for seed in one.weights]

    def evaluated(self) -> list[tuple[str, int]]:
        """Return every (label, seed) that is evaluated: `runs`, then `external`."""
        return [*self.runs(), *self.external()]

    def labels_of(self, seed: int) -> list[str]:
        """Return the labels of all networks of a seed."""
        return [label for label, other in self.evaluated() if other == seed]

    def diagnosed_seeds(self) -> tuple[int, ...]:
        """Return the seeds whose networks are diagnosed."""
        if self.diagnostics is None:
            return ()
        return self.seeds[:1] if self.diagnostics.seeds is None else self.diagnostics.seeds

    def diagnosed(self) -> list[tuple[str, int]]:
        """Return those of `evaluated` whose networks are diagnosed, of others' the first seed."""
        if self.diagnostics is None:
            return []
        seeds = self.diagnosed_seeds()
        found = [run for run in self.runs() if run[1] in seeds]
        for label, network in self.networks.items():
            shared = [seed for seed in network.weights if seed in seeds]
            found += [(label, seed) for seed in shared or list(network.weights)[:1]]
        return found

    def transfer_seeds(self) -> tuple[int, ...]:
        """Return the seeds in which adversarial images are tried on other methods' networks."""
        if self.diagnostics is None or not self.diagnostics.transfer:
            return ()
        return tuple(seed for seed in self.diagnosed_seeds() if len(self.labels_of(seed)) > 1)


def decisive(compute: Compute) -> Compute:
    """Return `compute` without what changes no result: threads beside a GPU, TF32 on a CPU."""
    if compute.device == "cuda":
        return replace(compute, threads=None)
    return replace(compute, tf32=False)


def spec_json(
    spec: TrainSpec | NetworkSpec | EvaluationSpec | DiagnosticsSpec | Data | Experiment,
) -> dict[str, Any]:
    """Return `spec` as what JSON can hold; `parse` reads it back."""
    result: dict[str, Any] = plain(spec)
    return result
