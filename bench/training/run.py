"""One run: a method, a network, its optimizer and its memory, and the loop over images.

Shape suffixes: B images of a batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from bench.config.experiment import TrainSpec
from bench.config.parsing import plain
from bench.data.augment import Frame, Views
from bench.data.dataset import Dataset, Images, to_unit
from bench.data.memory import Memory
from bench.data.splits import hold_out
from bench.engine.choose import create as create_engine
from bench.methods.base import create, logits_of, naming_file, terms_of, total
from bench.models.base import build
from bench.numerics.device import convolutions
from bench.numerics.seeding import stream
from bench.runtime.errors import BenchError
from bench.training.forgetting import ForgettingTracker
from bench.training.held_out import held_out
from bench.training.metrics import EpochMetrics, at_chance, clean_accuracy, pgd_accuracy
from bench.training.networks import AveragedWeights, Networks
from bench.training.perturbation import layer_gradients, perturbed
from bench.training.schedule import build_optimizer, build_schedule
from bench.training.step import TrainingStep

# What chooses `best` of a robust method, by the loss of `training.validation_attack`.
PGD_ACCURACY = {
    "ce": "PGD accuracy",
    "margin": "PGD accuracy (margin)",
    "targeted_margin": "PGD accuracy (targeted margin)",
}


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one epoch of training measured; accuracies in percent."""

    epoch: int
    learning_rate: float
    loss: float
    terms: dict[str, float]
    train_clean: float | None
    train_robust: float | None
    validation_clean: float
    validation_pgd: float
    replay: dict[str, float | None] = field(default_factory=dict)


class DivergedError(BenchError):
    """A training whose numbers are none any more; who called knows its label and what is kept."""

    def __init__(self, epoch: int, step: int) -> None:
        super().__init__(
            f"the loss or a weight became NaN or infinite in epoch {epoch}, step {step}; "
            "lower training.optimizer.learning_rate"
        )


def initial_network(spec: TrainSpec, dataset: Dataset, beside: str | None = None) -> nn.Module:
    """Return the network of `spec` with initial weights; `beside` names one of the method's own."""
    return build(
        spec.model.name,
        classes=len(dataset.classes),
        channels=dataset.train.pixels.shape[1],
        seed=spec.seed,
        width=spec.model.width,
        normalization=spec.model.normalization,
        stream=("weights",) if beside is None else ("weights", beside),
    )


class Run:
    """Everything that one run of `spec` on `dataset` keeps between steps.

    All of it follows from the spec's seed through named streams: initial weights, order of images,
    crops and mirrorings, and the noise of attacks. A method that draws more than another shifts
    none of them, so two methods of one seed see the same batches. `start` is the state of a network
    to begin with in place of initial weights; `frozen` has the states of the method's frozen
    networks by name.
    """

    def __init__(
        self,
        spec: TrainSpec,
        dataset: Dataset,
        device: torch.device,
        start: Mapping[str, Tensor] | None = None,
        frozen: Mapping[str, Mapping[str, Tensor]] | None = None,
    ) -> None:
        self.spec, self.device = spec, device
        recipe, train = spec.training, dataset.train
        self.method = create(spec.method, spec.options)
        if recipe.checkpoint_selection == "test":
            self.index_N, self.selection_images = torch.arange(len(train)), dataset.test
        else:
            held = held_out(recipe, len(train))
            self.index_N, validation_N = hold_out(train.labels, held)
            self.selection_images = Images(train.pixels[validation_N], train.labels[validation_N])
        images = self.selection_images
        self.selection_images = Images(images.pixels.to(device), images.labels.to(device))
        self.most_frequent = int(self.selection_images.labels.bincount().max())
        self.pixels_NCHW, self.labels_N = train.pixels.to(device), train.labels.to(device)
        self.model = initial_network(spec, dataset)
        if start is not None:
            self.model.load_state_dict(start)
        self.model.to(device)
        self.engine = create_engine(recipe.engine, self.model, precision=recipe.precision)
        begun = {
            name: initial_network(spec, dataset, name).state_dict()
            for name, kind in self.method.networks.items()
            if kind == "trained"
        }
        self.networks = Networks(self.method, self.engine, {**begun, **(frozen or {})})
        self.averaged: AveragedWeights | None = None
        if recipe.weight_averaging is not None:
            self.averaged = AveragedWeights(self.model, recipe.weight_averaging.decay)
        self.views = Views(spec.seed, len(train), recipe.crop_padding, recipe.flip, recipe.rotation)
        self.memory: Memory | None = None
        if self.method.memory:
            options = plain(self.method)
            kept = {name: options[name] for name in ("storage", "alignment") if name in options}
            self.memory = Memory(
                self.pixels_NCHW, spec.threat.eps, **kept, rotated=recipe.rotation > 0
            )
        self.probe: ForgettingTracker | None = None
        if self.method.robust:
            self.probe = ForgettingTracker(
                self.pixels_NCHW,
                self.labels_N,
                self.index_N,
                crop=recipe.crop_padding,
                rotated=recipe.rotation > 0,
                seed=spec.seed,
            )
        self.steps = -(-len(self.index_N) // recipe.batch_size)
        trained = (self.model, *self.networks.trained())
        self.optimizer = build_optimizer(trained, recipe.optimizer)
        self.schedule = build_schedule(
            self.optimizer, recipe.schedule, epochs=recipe.epochs, steps_per_epoch=self.steps
        )

    def batches(self, epoch: int) -> tuple[Tensor, ...]:
        """Return the image indices of every batch of `epoch`, in the order that the seed gives."""
        index_N, size = self.index_N, self.spec.training.batch_size
        if self.spec.training.shuffle:
            generator = stream(self.spec.seed, "order", epoch)
            index_N = index_N[torch.randperm(len(index_N), generator=generator)]
        if self.probe is not None:
            self.probe.expect(epoch, torch.split(index_N, size))
        return torch.split(index_N.to(self.device), size)

    def clean(self, epoch: int, index_B: Tensor) -> tuple[Frame, Tensor]:
        """Return where the views of a batch lie in `epoch`, and the views [B, C, H, W]."""
        frame = self.views.frame(epoch, index_B)
        return frame, to_unit(frame.apply(self.pixels_NCHW[index_B]))

    def begin(self, epoch: int, number: int, index_B: Tensor) -> TrainingStep:
        """Return the step `number`, from 0, of `epoch`, from 1, on the images `index_B`."""
        frame, clean = self.clean(epoch, index_B)
        return TrainingStep(
            self.spec,
            self.method,
            self.engine,
            self.networks,
            self.memory,
            epoch=epoch,
            number=number,
            count=(epoch - 1) * self.steps + number + 1,
            index_B=index_B,
            frame=frame,
            clean=clean,
            labels=self.labels_N[index_B],
        )

    def step(self, epoch: int, number: int, index_B: Tensor, metrics: EpochMetrics) -> TrainingStep:
        """Update the network once, and return the step that did it."""
        step, awp = self.begin(epoch, number, index_B), self.spec.training.awp
        self.optimizer.zero_grad(set_to_none=True)
        if awp is not None and epoch >= awp.first_epoch:
            with step.statistics_kept():
                _, terms = self._pass(step)
                gradients = layer_gradients(self.model, total(terms))
            step.again()
            with perturbed(self.model, gradients, awp.gamma):
                logits, terms = self._pass(step)
                self._backward(step, logits, terms)
        else:
            logits, terms = self._pass(step)
            self._backward(step, logits, terms)
        self.optimizer.step()
        self.schedule.step()
        with naming_file(self.method, "after_step"):
            self.method.after_step(step)
        if self.averaged is not None:
            self.averaged.update()
        if self.probe is not None and "adversarial" in step.images:
            self.probe.see(epoch, number, step.frame, step.x, step.images["adversarial"])
        metrics.add(terms, logits, step.labels)
        return step

    def _pass(self, step: TrainingStep) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        logits = logits_of(self.method, step)
        return logits, terms_of(self.method, logits, step.labels)

    def _backward(
        self, step: TrainingStep, logits: dict[str, Tensor], terms: dict[str, Tensor]
    ) -> None:
        with naming_file(self.method, "backward"):
            self.method.backward(step, logits, terms)

    def network(self) -> nn.Module:
        """Return the network that is selected, evaluated and saved."""
        return self.model if self.averaged is None else self.averaged.network()

    def epoch(self, epoch: int, watch: Callable[[int, EpochMetrics], None]) -> Epoch:
        """Train for one epoch, counted from 1, and measure; `watch` is called after every step.

        Raises
        ------
        DivergedError
            The loss or a weight became NaN or infinite.
        """
        metrics = EpochMetrics(self.device)
        learning_rate = float(self.optimizer.param_groups[0]["lr"])
        with convolutions(tf32=self.spec.compute.tf32):
            for step, index_B in enumerate(self.batches(epoch)):
                self.step(epoch, step, index_B, metrics)
                watch(step + 1, metrics)
            if self.memory is not None:
                self.memory.check()
            bad = metrics.first_bad_step()
            if bad is None and not self._finite():
                # The epoch's last update comes after its last loss.
                bad = self.steps
            if bad is not None:
                raise DivergedError(epoch, bad)
            model = self.engine.eval_model(self.network())
            clean, robust = self.validate(model)
            replay: dict[str, float | None] = {}
            if self.probe is not None:
                # No more images at once than the validation has: they must fit into the memory.
                size = 2 * self.spec.training.batch_size
                replay = self.probe.measure(model, epoch, size)
        means = metrics.means()
        terms = {name: value for name, value in means.items() if name.startswith("loss_")}
        return Epoch(
            epoch=epoch,
            learning_rate=learning_rate,
            loss=sum(terms.values()),
            terms=terms,
            train_clean=100 * means["clean"] if "clean" in means else None,
            train_robust=100 * means["adversarial"] if "adversarial" in means else None,
            validation_clean=clean,
            validation_pgd=robust,
            replay=replay,
        )

    def _finite(self) -> bool:
        """Return whether all weights and batch-norm statistics are finite; waits for the device."""
        networks = (self.model, *self.networks.kept().values())
        finite = [v.isfinite().all() for net in networks for v in net.state_dict().values()]
        return bool(torch.stack(finite).all())

    def validate(self, model: nn.Module) -> tuple[float, float]:
        """Return clean and PGD accuracy in percent on the images that select the checkpoint."""
        recipe = self.spec.training
        batch = 2 * recipe.batch_size
        return clean_accuracy(model, self.selection_images, batch), pgd_accuracy(
            model,
            self.selection_images,
            batch,
            eps=self.spec.threat.eps,
            attack=recipe.validation_attack,
            seed=self.spec.seed,
        )

    def momentum(self) -> dict[str, Tensor]:
        """Return the optimizer's momentum of every parameter that has any, by its place."""
        state = self.optimizer.state_dict()["state"]
        return {
            str(place): slot["momentum_buffer"]
            for place, slot in state.items()
            if slot.get("momentum_buffer") is not None
        }

    def advance(self, epochs: int, momentum: dict[str, Tensor]) -> None:
        """Put optimizer and schedule where they are after `epochs` epochs, with that momentum."""
        with warnings.catch_warnings():
            # The optimizer's steps were taken in another process.
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
            for _ in range(epochs * self.steps):
                self.schedule.step()
        # In the layout of the weights, as the optimizer itself makes them.
        weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        slots = {
            int(place): {"momentum_buffer": torch.empty_like(weights[int(place)]).copy_(value)}
            for place, value in momentum.items()
        }
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": slots})

    def networks_beside(self) -> dict[str, nn.Module]:
        """Return the networks beside the trained one that an exact resume needs, by name."""
        averaged = {} if self.averaged is None else {"averaged": self.averaged.network()}
        return {**self.networks.kept(), **averaged}

    @property
    def selected_by(self) -> str:
        """The accuracy that `best` is chosen by, in words."""
        if not self.method.robust:
            return "clean accuracy"
        return PGD_ACCURACY[self.spec.training.validation_attack.loss]

    def better(self, epoch: Epoch, best: Epoch) -> bool:
        """Say whether `epoch` takes the place of `best`: of equals the earlier one stays."""
        return self.merit(epoch) > self.merit(best)

    def merit(self, epoch: Epoch) -> tuple[bool, float, float]:
        """Return what `best` is chosen on: PGD accuracy, then clean accuracy.

        First of all it must be better than chance: a network that names one class whatever it is
        shown is as right under attack as without, and would win over an honest early epoch. Where
        nothing is trained against an attack, PGD accuracy is noise near zero that would pick an
        untrained network, and clean accuracy alone decides.
        """
        above = not self.at_chance(epoch)
        if not self.method.robust:
            return above, epoch.validation_clean, 0.0
        return above, epoch.validation_pgd, epoch.validation_clean

    def at_chance(self, epoch: Epoch) -> bool:
        """Return whether the clean accuracy after `epoch` is no better than one constant answer."""
        return at_chance(epoch.validation_clean, len(self.selection_images), self.most_frequent)
