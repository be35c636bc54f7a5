"""The names that readers see of methods and attacks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.results.flags import OWN_RECIPE
from bench.results.options import chosen, options_of

METHODS = {
    "standard": "Standard",
    "pgd_at": "PGD-AT",
    "trades": "TRADES",
    "mart": "MART",
    "memloss": "MemLoss",
    "hat": "HAT",
}
ATTACKS = {
    "clean": "Clean",
    "pgd20": "PGD-20",
    "autoattack": "AutoAttack",
    "worst_case": "Worst case",
    "apgd-ce": "APGD-CE",
    "apgd-t": "APGD-T",
    "fab-t": "FAB-T",
    "square": "Square",
}
SUFFIXES = {"authors": "authors' optimizer"}


def method_name(
    label: str,
    method: str | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    own_recipe: bool = False,
) -> str:
    """Return the name of a configuration's label, such as "TRADES (β=3)" for `trades_beta3`.

    Parameters
    ----------
    label
        The key of the method in the configuration; it alone tells two runs apart, so whatever it
        says beyond the method stays visible.
    method, options
        The registered method behind the label and its options, as train.json's spec has them.
        Without them the label itself is read.
    own_recipe
        Whether it was trained otherwise than the others, which a label that says nothing more than
        the method would hide.
    """
    known = method or _method_of(label)
    if known is None:
        return _words(label)
    options = options or {}
    name = METHODS.get(known, _words(known))
    rest = label.removeprefix(known).strip("_") if label.startswith(known) else label
    remarks = []
    variant = str(options.get("variant") or "") or _first(r"v\d+(?![^_])", rest)
    if variant:
        name += f" {variant.upper()}"
        rest = _without(rest, variant)
    written = _first(r"beta[\d.]+(?![^_])", rest)
    beta = options.get("beta", written.removeprefix("beta") or None)
    if beta is not None and (written or known == "trades"):
        remarks.append(f"β={float(beta):g}")
    if known not in METHODS:
        # What matters of a method of the user's own is not known: all that is not as usual.
        told = {"variant", "beta"} if remarks else {"variant"}
        own = chosen(known, options)
        remarks += [f"{option}={own[option]}" for option in own if option not in told]
    rest = _without(rest, written)
    if rest:
        remarks.append(SUFFIXES.get(rest, rest.replace("_", " ")))
    elif own_recipe:
        remarks.append("own recipe")
    return f"{name} ({', '.join(remarks)})" if remarks else name


def names_of(rows: pd.DataFrame) -> dict[str, str]:
    """Return the name of every method of the summary's `rows`, no two alike, by label."""
    firsts = rows.drop_duplicates("method")
    named = {
        str(row.method): method_name(
            row.method,
            row.base_method or None,
            options_of(row.options),
            own_recipe=OWN_RECIPE in row.flags.split(";"),
        )
        for row in firsts.itertuples()
    }
    return distinct(named)


def network_names(rows: pd.DataFrame) -> dict[str, str]:
    """Return the name of every ``label/checkpoint`` of the summary's `rows`."""
    names = {}
    for label, own in names_of(rows).items():
        names[f"{label}/best"], names[f"{label}/last"] = own, f"{own}, last epoch"
    return names


def distinct(names: Mapping[str, str]) -> dict[str, str]:
    """Return the names by label, with the label where several have the same name."""
    shared = Counter(names.values())
    return {
        label: name if shared[name] == 1 else f"{name}: {label}" for label, name in names.items()
    }


def method_order(label: str, method: str = "") -> tuple[int, str]:
    """Return a sort key: the baselines first, then by label; unknown methods last.

    `method` is the registered method behind the label, which alone is read where it is empty.
    """
    known = method or _method_of(label)
    return (len(METHODS) if known not in METHODS else list(METHODS).index(known), label)


def attack_name(attack: str) -> str:
    """Return the name of an attack, or of a part of AutoAttack."""
    steps = _first(r"(?<=^pgd)\d+$", attack)
    return ATTACKS.get(attack, f"PGD-{steps}" if steps else _words(attack))


def _method_of(label: str) -> str | None:
    matching = [name for name in METHODS if label == name or label.startswith(f"{name}_")]
    return max(matching, key=len, default=None)


def _words(label: str) -> str:
    text = label.replace("_", " ")
    return text[:1].upper() + text[1:]


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found.group() if found else ""


def _without(rest: str, part: str) -> str:
    return "_".join(word for word in rest.split("_") if word and word != part)
