"""The names that readers see of methods and attacks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.results.flags import EXTERNAL, OWN_RECIPE
from bench.results.options import chosen, options_of
from bench.results.origin import TRAINED

METHODS = {
    "standard": "Standard",
    "pgd_at": "PGD-AT",
    "trades": "TRADES",
    "mart": "MART",
    "memloss": "MemLoss",
    "hat": "HAT",
    "memloss_hat": "MemLoss + HAT",
    "memory_mart": "Memory MART",
    "dynat": "DYNAT",
    "cure": "CURE",
    "sat": "SAT",
    "fgsm_at": "FGSM-AT",
    "fgsm_rs": "FGSM-RS",
}
# Of methods that only others report, as their authors write them.
REPORTED = {
    "adr": "ADR",
    "adr_wa": "ADR + WA",
    "adr_wa_awp": "ADR + WA + AWP",
    "at_awp": "AT-AWP",
    "cure_eff": "CURE-Eff",
    "fat": "FAT",
    "fat_trades": "FAT (TRADES)",
    "fgsm_pgi": "FGSM-PGI",
    "free_at": "Free-AT",
    "gat": "GAT",
    "grad_align": "GradAlign",
    "liet": "LIET",
    "mart_awp": "MART-AWP",
    "n_fgsm": "N-FGSM",
    "nu_at": "NuAT",
    "pgd_at_wa": "PGD-AT + WA",
    "trades_awp": "TRADES-AWP",
}
MODELS = {
    "resnet18": "ResNet-18",
    "preact_resnet18": "PreAct ResNet-18",
    "wrn_28_10": "WRN-28-10",
    "wrn_34_10": "WRN-34-10",
    "small_cnn": "small CNN",
}
ATTACKS = {
    "clean": "Clean",
    "pgd20": "PGD-20",
    "autoattack": "AutoAttack",
    "worst_case": "Worst case",
    "apgd_eot": "APGD-EOT",
    "autoattack_few_classes": "AutoAttack (few classes)",
    "transfer_pgd": "Transfer PGD",
    "apgd-ce": "APGD-CE",
    "apgd-t": "APGD-T",
    "apgd-dlr": "APGD-DLR",
    "fab-t": "FAB-T",
    "square": "Square",
}
SUFFIXES = {"authors": "authors' optimizer", "awp": "AWP", "ema": "EMA"}


def method_name(
    label: str,
    method: str = "",
    options: Mapping[str, Any] | None = None,
    *,
    own_recipe: bool = False,
    elsewhere: bool = False,
    network: str = "",
) -> str:
    """Return the name of a configuration's label, such as "TRADES (β=3)" for `trades_beta3`.

    Parameters
    ----------
    label
        The key of the method in the configuration; it alone tells two runs apart, so whatever it
        says beyond the method stays visible.
    method, options
        The registered method behind the label and its options, as train.json's spec has them; a
        method that only others report has none.
    own_recipe
        Whether it was trained otherwise than the others, which a label that says nothing more than
        the method would hide.
    elsewhere
        Whether it was trained elsewhere.
    network
        The label of its network where others have another one; the words of it that the method's
        label repeats are left out.
    """
    known, options = method or label, options or {}
    name = METHODS.get(known) or REPORTED.get(known) or _words(known)
    rest = label.removeprefix(known) if label.startswith(known) else label
    variant, remarks = str(options.get("variant", "")), []
    if variant:
        name += f" {variant.upper()}"
    shown = ("", variant, *re.split("[_-]", network))
    words = [word for word in rest.split("_") if word not in shown]
    written = [word for word in words if re.fullmatch(r"beta[\d.]+", word)]
    if "beta" in options and (written or known == "trades"):
        remarks.append(f"β={float(options['beta']):g}")
    if known not in METHODS:
        # What matters of a method of the user's own is not known: all that is not as usual.
        told = {"variant", "beta"} if remarks else {"variant"}
        own = chosen(known, options)
        remarks += [f"{option}={own[option]}" for option in own if option not in told]
    rest = " ".join(word for word in words if word not in written)
    if rest:
        remarks.append(SUFFIXES.get(rest, rest))
    elif own_recipe:
        remarks.append("own recipe")
    if elsewhere:
        remarks.append("trained elsewhere")
    if network:
        remarks.append(model_name(network))
    return f"{name} ({', '.join(remarks)})" if remarks else name


def names_of(rows: pd.DataFrame) -> dict[str, str]:
    """Return the name of every method of the summary's `rows` by label, no two alike.

    The baselines come first, methods of the user's own last. Of an experiment with several networks
    each name has the method's.
    """
    firsts = rows.drop_duplicates("method").set_index("method").sort_index()
    known = firsts["base_method"].where(firsts["base_method"] != "", firsts.index)
    order = list(METHODS)
    place = known.map(lambda base: order.index(base) if base in METHODS else len(order))
    firsts = firsts.loc[place.sort_values(kind="stable").index]
    several = firsts["model"].nunique() > 1
    named = {
        str(row.Index): method_name(
            row.Index,
            row.base_method,
            options_of(row.options),
            own_recipe=OWN_RECIPE in row.flags.split(";"),
            elsewhere=EXTERNAL in row.flags.split(";"),
            network=row.model if several else "",
        )
        for row in firsts.itertuples()
    }
    shared = Counter(named.values())
    return {
        label: name if shared[name] == 1 else f"{name}: {label}" for label, name in named.items()
    }


def noun(rows: pd.DataFrame) -> str:
    """Return what rows of the summary are about: methods, or networks if none was trained here."""
    return "method" if (rows["origin"] == TRAINED).any() else "network"


def network_names(rows: pd.DataFrame) -> dict[str, str]:
    """Return the name of every ``label/checkpoint`` of the summary's `rows`."""
    names = {}
    for label, own in names_of(rows).items():
        names[f"{label}/best"], names[f"{label}/last"] = own, f"{own}, last epoch"
    return names


def model_name(label: str) -> str:
    """Return the name of a network by its label, such as "WRN-28-10, width 4"."""
    parts = re.fullmatch(r"(.+?)(?:-w(\d+))?(-normalized)?", label)
    assert parts is not None  # it fits any text
    name, width, normalized = parts.groups()
    named = MODELS.get(name, name) + (f", width {width}" if width else "")
    return named + (", normalized" if normalized else "")


def attack_name(attack: str) -> str:
    """Return the name of an attack, or of a part of AutoAttack."""
    steps = re.fullmatch(r"pgd(\d+)", attack)
    return ATTACKS.get(attack, f"PGD-{steps[1]}" if steps else _words(attack))


def attack_notes(registered: Mapping[str, str]) -> list[str]:
    """Return what attacks of `evaluation.attacks`, by label, say of themselves."""
    return [f"{attack_name(attack)}: {about}" for attack, about in registered.items()]


def _words(label: str) -> str:
    text = label.replace("_", " ")
    return text[:1].upper() + text[1:]
