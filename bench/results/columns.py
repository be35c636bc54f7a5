"""Every CSV file of an experiment, column by column; docs/results.md is made from these words.

A column of summary.csv that is a metric of one attack on one network is made here too, by its `of`.
"""

from __future__ import annotations

from bench.results.tables import Column, Table

MAKE = "python -m bench {} --folder {{folder}}"
# Two decimals of a percentage are enough, and of a ratio such as 0.004 they are none.
RATIOS = ("rule", {"cost": ".4g"})
ORIGIN = {
    "experiment": Column("text", "the experiment"),
    "dataset": Column("text", "the images; `cifar10-jpeg` is a re-encoded copy, never CIFAR-10"),
    "model": Column("text", "the architecture; `robustbench` for one of RobustBench's models"),
}

SUMMARY = Table(
    {
        **ORIGIN,
        "method": Column("text", "the label in the config, or RobustBench's name of a model"),
        "seed": Column(
            "whole", "shared by all methods; empty for RobustBench's models", empty=True
        ),
        "checkpoint": Column("text", "`best`, or `last` for the final epoch"),
        "selected_on": Column(
            "text",
            "images that chose `best`: `validation` (held out of training) or `test`; empty for "
            "weights that were trained elsewhere",
        ),
        "attack": Column(
            "text",
            "`clean`, the name of a PGD attack in the config, `autoattack` (comparable with "
            "RobustBench), the label of an attack of `evaluation.attacks`, or `worst_case`: robust "
            "under every attack on this checkpoint",
        ),
        "attack_source": Column(
            "text", "package and version of the attack", of=lambda one: one.record.source
        ),
        "attack_seed": Column(
            "whole", "seed of the attack", empty=True, of=lambda one: one.record.seed
        ),
        "eps": Column("radius", "radius of the attack", of=lambda one: one.record.eps),
        "n": Column("whole", "images evaluated", of=lambda one: one.record.n),
        "correct": Column(
            "whole",
            "of these, classified correctly under the attack",
            of=lambda one: one.record.correct,
        ),
        "accuracy": Column("number", "percent", of=lambda one: one.accuracy),
        "ci_low": Column(
            "number",
            "Wilson's 95 % interval over images, lower end",
            of=lambda one: one.interval[0],
        ),
        "ci_high": Column(
            "number",
            "upper end; it says nothing about other seeds",
            of=lambda one: one.interval[1],
        ),
        "reported": Column(
            "number", "what is published for this data set, model, method and eps", empty=True
        ),
        "reported_source": Column("text", "who published it, and where"),
        "difference": Column("number", "ours minus reported", empty=True),
        "precision": Column("text", "precision that the weights were trained in"),
        "engine": Column("text", "engine that the weights were trained with"),
        "tf32": Column("bool", "whether training used TF32; evaluation never does", empty=True),
        "flags": Column("text", "what to know before quoting, joined by `;`"),
        "code_digest": Column("text", "digest of the code that evaluated"),
        "weights_sha256": Column("text", "SHA-256 of the weights"),
        "base_method": Column("text", "the registered method behind the label"),
        "options": Column("text", "all of its options, by which published numbers are matched"),
        "selected_by": Column("text", "the accuracy that chose `best`"),
        "warnings": Column(
            "text",
            "what AutoAttack's own checks said, joined by ` | `",
            of=lambda one: " | ".join(" ".join(text.split()) for text in one.record.warnings),
        ),
        "attack_engine": Column(
            "text",
            "the `evaluation.engine` that adversarial images were searched with",
            of=lambda one: one.record.search_engine,
        ),
        "origin": Column(
            "text",
            "`trained` here, `external` for weights of the section `networks`, or `robustbench`",
        ),
        "attack_seeds": Column(
            "whole",
            "seeds that PGD was repeated with; empty where there was one",
            empty=True,
            of=lambda one: one.seeds,
        ),
        "attack_spread": Column(
            "number",
            "largest minus smallest accuracy over them, points",
            empty=True,
            of=lambda one: one.spread,
        ),
    },
    make=MAKE.format("summarize"),
    key=("experiment", "dataset", "model", "method", "seed", "checkpoint", "attack"),
)

COSTS = Table(
    {
        "experiment": Column("text", "the experiment"),
        "method": Column("text", "the label in the config, or RobustBench's name of a model"),
        "seed": Column("whole", "empty for RobustBench's models", empty=True),
        "stage": Column("text", "`train`, `evaluate` or `diagnose`"),
        "checkpoint": Column("text", "of an attack"),
        "attack": Column("text", "of an attack"),
        "seconds": Column("number", "wall time"),
        "peak_memory_mb": Column("number", "of a CUDA device", empty=True),
        "device": Column("text", "the device"),
        "images_per_second": Column(
            "number", "an image counts once an epoch, or once an attack", empty=True
        ),
        "forward_passes": Column(
            "number", "of one image in one training step", empty=True, form=".6g"
        ),
        "backward_passes": Column(
            "number", "of one image in one training step", empty=True, form=".6g"
        ),
    },
    make=MAKE.format("summarize"),
)

STATISTICS = Table(
    {
        **ORIGIN,
        "checkpoint": Column("text", "`best` or `last`"),
        "quantity": Column("text", "what is estimated"),
        "attack": Column("text", "the attack"),
        "method": Column("text", "the label of the method"),
        "against": Column("text", "what it is compared with"),
        "n_seeds": Column("whole", "seeds common to all methods of the row"),
        "seeds": Column("text", "these seeds, joined by `;`"),
        "n_images": Column("whole", "images common to all"),
        "estimate": Column("number", "percent or percentage points", form=".4f"),
        "std": Column("number", "sample standard deviation over seeds", empty=True, form=".4f"),
        "interval": Column("text", "how the interval is made"),
        "about": Column("text", "what would differ if the experiment were repeated"),
        "low": Column("number", "95 %, two-sided", empty=True, form=".4f"),
        "high": Column("number", "95 %, two-sided", empty=True, form=".4f"),
        "standard_error": Column("number", "of a t interval", empty=True, form=".4f"),
        "df": Column("number", "degrees of freedom of a t interval", empty=True, form=".4f"),
        "p": Column("number", "two-sided p value of no difference", empty=True, form=".4g"),
        "p_holm": Column("number", "adjusted over its family (Holm 1979)", empty=True, form=".4g"),
        "family": Column("text", "the p values that were adjusted together"),
        "p_equal_spreads": Column(
            "number",
            "of a moderated interval: Bartlett's p value of all methods' spreads being equal",
            empty=True,
            form=".4g",
        ),
        "own_spread": Column(
            "text", "of a moderated interval: methods that keep their own spread, joined by `;`"
        ),
    },
    make=MAKE.format("statistics"),
)

CLAIMS = Table(
    {
        "paper": Column("text", "the file of `config/claims` that states it"),
        "id": Column("text", "the claim's name in its file"),
        "verdict": Column("text", "the verdict"),
        "text": Column("text", "the claim in words"),
        "kind": Column("text", "`number` or `order`"),
        "rule": Column("text", "the rule that decides it"),
        "metric": Column("text", "the attack, harmonic mean, or column"),
        "methods": Column("text", "the labels it is about, joined by `;`"),
        "claimed": Column("text", "where the number must lie"),
        "about": Column("text", "`memory` where it is what the memory itself does"),
        "worth": Column("number", "the least gain that is worth having", empty=True, form=".4g"),
        "estimate": Column("number", "what was measured", empty=True, forms=RATIOS),
        "low": Column("number", "its interval", empty=True, forms=RATIOS),
        "high": Column("number", "its interval", empty=True, forms=RATIOS),
        "interval": Column("text", "as in statistics.csv, the one that decides"),
        "level": Column("number", "confidence level, percent", empty=True),
        "n_seeds": Column("whole", "seeds", empty=True),
        "n_images": Column("whole", "images; empty where it is about none", empty=True),
        "detail": Column("text", "why there is no verdict, or in what the data differ"),
        "flags": Column("text", "flags of the rows of summary.csv behind it"),
        "dataset": Column("text", "the images here"),
        "model": Column("text", "the architecture here; several are joined by `;`"),
        "stated_for": Column("text", "what the claim is stated for"),
        "checkpoint": Column("text", "the checkpoint"),
        "source": Column("text", "who claims it"),
    },
    make=MAKE.format("claims"),
)

ABLATIONS = Table(
    {
        "choice": Column("text", "the open choice"),
        "base": Column("text", "`label/checkpoint` of the base"),
        "variant": Column("text", "`label/checkpoint` of the variant"),
        "quantity": Column("text", "`accuracy` or `harmonic_mean`"),
        "attack": Column("text", "the attack"),
        "n_seeds": Column("whole", "seeds common to both"),
        "n_images": Column("whole", "images common to both"),
        "base_value": Column("number", "of the base, percent"),
        "variant_value": Column("number", "of the variant, percent"),
        "difference": Column("number", "variant minus base, points"),
        "low": Column("number", "95 % interval over seeds and images", empty=True),
        "high": Column("number", "95 % interval over seeds and images", empty=True),
        "verdict": Column("text", "`matters`, `does not matter` or `undecided`"),
        "by_seed": Column("text", "the differences by seed, joined by `;`"),
        "flags": Column("text", "flags of the rows of summary.csv behind it"),
    },
    make=MAKE.format("ablations"),
)

CURVES = Table(
    {
        "check": Column("text", "the attack whose strength grows"),
        "checkpoint": Column("text", "`best` or `last`"),
        "x": Column("number", "radius, steps, restarts or queries", form=".6g"),
        "accuracy": Column("number", "percent"),
        "n": Column("whole", "images"),
        "loss": Column("number", "mean cross-entropy", empty=True, form=".6g"),
    },
    make="python -m bench diagnose",
)

SURFACES = Table(
    {
        "checkpoint": Column("text", "`best` or `last`"),
        "index": Column("whole", "the test image"),
        "label": Column("whole", "its class"),
        "along": Column("number", "distance along the sign of the gradient, in eps", form=".6g"),
        "aside": Column("number", "distance along random signs, in eps", form=".6g"),
        "loss": Column("number", "cross-entropy", form=".6g"),
        "right": Column("whole", "1 where it is classified correctly"),
    },
    make="python -m bench diagnose",
)

TRANSFER = Table(
    {
        "checkpoint": Column("text", "`best` or `last`"),
        "source": Column("text", "the method whose network the images were made on"),
        "target": Column("text", "the method whose network they were tried on"),
        "accuracy": Column("number", "of the target, percent"),
        "n": Column("whole", "images"),
    },
    make="python -m bench transfer",
)

# A history has a column for each loss term of its method between `loss` and `train_clean`.
HISTORY = Table(
    {
        "epoch": Column("whole", "from 1"),
        "learning_rate": Column("number", "at the start of the epoch"),
        "loss": Column("number", "sum of the loss terms"),
        "train_clean": Column("number", "accuracy on training images, percent", empty=True),
        "train_robust": Column(
            "number", "accuracy on the adversarial images of training, percent", empty=True
        ),
        "validation_clean": Column("number", "accuracy on held-out images, percent"),
        "validation_pgd": Column("number", "accuracy on them under PGD, percent"),
        "seconds": Column("number", "wall time"),
        "images_per_second": Column("number", "training images"),
        "peak_memory_mb": Column("number", "of a CUDA device", empty=True),
    },
    make="python -m bench train",
    others=Column("number", "a loss term, or what replay measured", empty=True),
)
