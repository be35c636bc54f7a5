"""A results folder as the workflow leaves it, made without training anything (and without torch).

Which images are robust is chosen, so a test knows every number that must come out.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.data.published import PUBLISHED

EPS = 8 / 255
ATTACKS = ("clean", "pgd20", "autoattack")
COMPUTE = {"device": "cpu", "threads": 1, "tf32": False}
COMPONENTS = ("apgd-ce", "apgd-t", "fab-t", "square")
SPECS: dict[str, tuple[str, dict[str, Any]]] = {
    "standard": ("standard", {}),
    "pgd_at": ("pgd_at", {}),
    "trades": ("trades", {"beta": 6.0}),
    "trades_beta1": ("trades", {"beta": 1.0}),
    "trades_beta3": ("trades", {"beta": 3.0}),
    "trades_beta4": ("trades", {"beta": 4.0}),
    "mart": ("mart", {"beta": 5.0}),
    "mart_authors": ("mart", {"beta": 5.0}),
    "memloss_v1": ("memloss", {"variant": "v1", "beta": 3.0, "memory_beta": 2.0}),
    "memloss_v2": ("memloss", {"variant": "v2", "beta": 4.0, "memory_beta": 1.0}),
    "memloss_v3": ("memloss", {"variant": "v3", "beta": 4.0, "memory_beta": 2.0}),
}
TERMS = {
    "standard": ("cross_entropy",),
    "pgd_at": ("cross_entropy",),
    "trades": ("cross_entropy", "divergence"),
    "mart": ("boosted_cross_entropy", "weighted_divergence"),
    "memloss": ("cross_entropy", "divergence", "memory"),
}
REPLAY = (
    *("replay_success_rate", "forgetting_rate", "replay_cosine"),
    *("replay_loss_age0", "replay_loss_age1"),
    *("replay_weight_p10", "replay_weight_p50", "replay_weight_p90"),
)
# AutoAttack is left out of `last`, as a workflow that saves time does.
CORRECT: dict[str, dict[str, int]] = {
    "best": {"clean": 16, "pgd20": 12, "autoattack": 10},
    "last": {"clean": 17, "pgd20": 11},
}


def digest(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


@dataclass
class ResultsFactory:
    """Writes runs below `folder`, as below results/<experiment>."""

    folder: Path
    experiment: str = "digits"
    dataset: str = "digits"
    model: str = "resnet18"
    eps: float = EPS
    images: int = 20
    test_images: int = 20
    source_sizes: Mapping[str, int] = field(default_factory=dict)
    origin: Mapping[str, Any] | None = None
    epochs: int = 3
    classes: Sequence[str] = field(default_factory=lambda: [str(digit) for digit in range(10)])

    def all(
        self, methods: Iterable[str] = ("trades", "memloss_v1"), seeds: Iterable[int] = (0, 1)
    ) -> Path:
        """Write every (method, seed); a seed moves every count by one image."""
        for method in methods:
            for seed in seeds:
                shifted = {
                    name: {attack: count - seed % 3 for attack, count in counts.items()}
                    for name, counts in CORRECT.items()
                }
                self.run(method, seed, correct=shifted)
        return self.folder

    def run(
        self,
        method: str = "trades",
        seed: int = 0,
        *,
        correct: Mapping[str, Mapping[str, int]] | None = None,
        robust: Mapping[tuple[str, str], Mapping[int, int]] | None = None,
        train: Mapping[str, Any] | None = None,
        attack: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write one run and return its folder.

        `correct` counts the robust images by checkpoint and attack: images 0, 1, ... are the robust
        ones. `robust` says it image by image instead, for a (checkpoint, attack). `train` replaces
        keys of train.json, `attack` keys of every attack in evaluation.json.
        """
        run = self.folder / "models" / method / f"seed{seed}"
        run.mkdir(parents=True, exist_ok=True)
        results = self._results(CORRECT if correct is None else correct, robust or {})
        weights = {name: self._weights(run, method, seed, name) for name in ("best", "last")}
        training = self._training(method, seed, weights) | dict(train or {})
        write_json(run / "train.json", training)
        self._history(run / "history.csv", method)
        checkpoints: dict[str, Any] = {}
        for (name, attacked), images in results.items():
            clean = results.get((name, "clean"), {})
            entry = self._attack(run, name, attacked, images, clean) | dict(attack or {})
            checkpoint = checkpoints.setdefault(
                name, {"weights_sha256": weights[name], "attacks": {}, "witnesses_sha256": None}
            )
            checkpoint["attacks"][attacked] = entry
        shared = {key: training[key] for key in ("experiment", "device", "threads", "packages")}
        evaluation = shared | {
            "method": method,
            "seed": seed,
            "spec": self._evaluation(),
            "code_digest": digest("evaluation code"),
            "data": {key: training["data"][key] for key in ("name", "fingerprint")},
            "peak_memory_mb": None,
            "checkpoints": checkpoints,
            "others_sha256": {},
        }
        write_json(run / "evaluation.json", evaluation)
        return run

    def reference(
        self,
        name: str = "Rice2020Overfitting",
        *,
        correct: Mapping[str, int] | None = None,
        attack: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write RobustBench's model `name`, evaluated as `run` evaluates a best checkpoint."""
        folder = self.folder / "reference" / name
        counts = CORRECT["best"] if correct is None else correct
        results = self._results({"best": counts}, {})
        attacks = {
            attacked: self._attack(folder, "best", attacked, images, results["best", "clean"])
            | dict(attack or {})
            for (_, attacked), images in results.items()
        }
        record = {
            "experiment": None,
            "method": name,
            "seed": None,
            "spec": self._evaluation(),
            "code_digest": digest("evaluation code"),
            "data": {"name": self.dataset, "fingerprint": digest(self.dataset)},
            "device": "cpu",
            "threads": 1,
            "packages": {},
            "peak_memory_mb": None,
            "checkpoints": {"best": {"weights_sha256": digest(name), "attacks": attacks}},
            "others_sha256": {},
        }
        write_json(folder / "evaluation.json", record)
        return folder

    def _results(
        self,
        correct: Mapping[str, Mapping[str, int]],
        robust: Mapping[tuple[str, str], Mapping[int, int]],
    ) -> dict[tuple[str, str], Mapping[int, int]]:
        counted = {
            (name, attack): {index: int(index < count) for index in range(self.images)}
            for name, counts in correct.items()
            for attack, count in counts.items()
        }
        return {**counted, **robust}

    def _weights(self, run: Path, method: str, seed: int, name: str) -> str:
        header = json.dumps({"__metadata__": {"run": f"{method}/{seed}/{name}"}}).encode()
        content = len(header).to_bytes(8, "little") + header
        (run / f"{name}.safetensors").write_bytes(content)
        return digest(content)

    def _training(self, label: str, seed: int, weights: Mapping[str, str]) -> dict[str, Any]:
        method, options = SPECS.get(label, (label, {}))
        return {
            "experiment": self.experiment,
            "method": label,
            "seed": seed,
            "spec": {
                "method": method,
                "options": options,
                "seed": seed,
                "model": {"name": self.model},
                "threat": {"norm": "Linf", "eps": self.eps},
                "training": self._recipe(),
                "compute": COMPUTE,
            },
            "needed_sha256": {},
            "code_digest": digest("training code"),
            "data": {
                "name": self.dataset,
                "fingerprint": digest(self.dataset),
                "classes": list(self.classes),
                "train_images": 90,
                "validation_images": 10,
                "test_images": self.test_images,
                **(published(self.dataset) if self.origin is None else self.origin),
                "source_train_images": self.source_sizes.get("train", 100),
                "source_test_images": self.source_sizes.get("test", self.test_images),
            },
            "model": {"label": self.model, "parameters": 11_173_962},
            "passes": {"forward": 12, "backward": 12},
            "selected_on": "validation",
            "selected_by": "clean accuracy" if method == "standard" else "PGD accuracy",
            "precision": "float32",
            "tf32": False,
            "engine": "folded",
            "checkpoints": {
                name: {
                    "epoch": self.epochs - (name == "best"),
                    "weights_sha256": weights[name],
                    "validation_clean": 80.0,
                    "validation_pgd": 50.0,
                }
                for name in ("best", "last")
            },
            "device": "cpu",
            "threads": 1,
            "packages": {"python": "3.11.0", "torch": "2.14.1"},
            "seconds": 12.5,
            "peak_memory_mb": None,
        }

    def _recipe(self) -> dict[str, Any]:
        attack = {"steps": 10, "step_size": self.eps / 4}
        return {
            "epochs": self.epochs,
            "batch_size": 32,
            "optimizer": {"learning_rate": 0.1},
            "attack": attack,
            "validation_attack": attack,
        }

    def _evaluation(self) -> dict[str, Any]:
        return {
            "threat": {"norm": "Linf", "eps": self.eps},
            "evaluation": {"batch_size": 20},
            "compute": COMPUTE,
        }

    def _attack(
        self,
        run: Path,
        checkpoint: str,
        attack: str,
        robust: Mapping[int, int],
        right: Mapping[int, int],
    ) -> dict[str, Any]:
        names = COMPONENTS if attack == "autoattack" else (attack,)
        rows = []
        for index, is_robust in sorted(robust.items()):
            clean = int(is_robust or right.get(index, 1))
            broken_by = "" if is_robust else names[index % len(names)] if clean else "clean"
            rows.append([index, index % len(self.classes), clean, int(is_robust), broken_by])
        path = run / "examples" / checkpoint / f"{attack}.csv"
        write_csv(path, ["index", "label", "clean", "robust", "broken_by"], rows)
        count = sum(robust.values())
        details: dict[str, Any] = {"batch_size": 20}
        if attack != "clean":
            details |= {"search_tf32": False, "search_engine": "eager"}
        if attack == "pgd20":
            details |= {"steps": 20, "step_size": self.eps / 4, "restarts": 1, "loss": "ce"}
            details |= {"start": "uniform"}
        if attack == "autoattack":
            details |= {"version": "standard", "components": dict.fromkeys(COMPONENTS, count)}
            details |= {"warnings": []}
        return {
            "source": "pyautoattack 0.2.0" if attack == "autoattack" else "suite",
            "seed": None if attack == "clean" else 0,
            "eps": 0.0 if attack == "clean" else self.eps,
            "n": len(rows),
            "correct": count,
            "seconds": 1.25,
            "peak_memory_mb": None,
            "sha256": digest(path.read_bytes()),
            "flags": [],
            "details": details,
        }

    def _history(self, path: Path, label: str) -> None:
        method = SPECS.get(label, (label, {}))[0]
        terms = TERMS.get(method, ("cross_entropy",))
        header = ["epoch", "learning_rate", "loss", *(f"loss_{term}" for term in terms)]
        header += ["train_clean", "train_robust", "validation_clean", "validation_pgd"]
        replay = [] if method == "standard" else list(REPLAY)
        header += replay
        header += ["seconds", "images_per_second", "peak_memory_mb"]
        rows = []
        for epoch in range(1, self.epochs + 1):
            empty = {"memory"} if epoch == 1 else set()
            losses = ["" if term in empty else 1 / epoch for term in terms]
            robust = "" if method == "standard" else 40.0 + epoch
            values = [epoch, 0.1, float(len(terms)) / epoch, *losses]
            values += [70.0 + epoch, robust, 68.0 + epoch, 38.0 + epoch]
            # Nothing is replayed in the first epoch but what it made itself.
            old = [10.0 * epoch if epoch > 1 or "age0" in name else "" for name in replay]
            rows.append([*values, *old, 4.0, 250.0, ""])
        write_csv(path, header, rows)


def published(name: str) -> dict[str, Any]:
    """Return what a record tells of the images of a published data set: these few stand for all."""
    if name not in PUBLISHED:
        return {}
    known = PUBLISHED[name]
    return {
        "source": name,
        "lossless": True,
        "image_shape": list(known.shape),
        "class_counts": {
            part: [total // known.classes] * known.classes
            for part, total in (("train", known.train), ("test", known.test))
        },
        "channel_mean": [round(value, 6) for value in known.mean],
        "channel_std": [round(value, 6) for value in known.std],
    }


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def edit_json(path: Path, **changes: Any) -> None:
    """Replace keys of a record; a dotted key is written with double underscores."""
    record = json.loads(path.read_text(encoding="utf-8"))
    for dotted, value in changes.items():
        *parents, last = dotted.split("__")
        inner = record
        for parent in parents:
            inner = inner[parent]
        inner[last] = value
    write_json(path, record)
