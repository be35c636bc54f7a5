"""The methods that figures show: their order, names and colours, and TRADES' values of beta."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.analysis import labels
from bench.analysis.figures import style
from bench.analysis.figures.points import Other, Row
from bench.results.options import options_of


@dataclass(frozen=True)
class Known:
    """What readers see of each method, by label.

    `order` has the methods of this experiment alone, families together and TRADES by its beta;
    `names` and `colours` have those of reported points too.
    """

    order: Sequence[str]
    names: dict[str, str]
    colours: dict[str, str]
    betas: dict[str, float]

    @classmethod
    def of(cls, rows: Sequence[Row], papers: Sequence[Other] = ()) -> Known:
        """Return what is known of the methods of `rows`, and of reported points beside them."""
        known: dict[str, Row | Other] = {row.method: row for row in rows}
        order = sorted(known, key=lambda method: _place(method, known[method]))
        betas = {method: _beta(method, known[method]) for method in order}
        names = labels.distinct({method: _name(method, known[method]) for method in order})
        known |= {other.name: other for other in papers if other.name not in known}
        return cls(
            order=order,
            names={method: names.get(method) or _name(method, of) for method, of in known.items()},
            colours=_colours(known),
            betas={method: beta for method, beta in betas.items() if beta is not None},
        )


def _name(label: str, of: Row | Other) -> str:
    own = isinstance(of, Row) and of.own_recipe
    options = options_of(of.options)
    return labels.method_name(label, of.base_method or None, options, own_recipe=own)


def _colours(known: Mapping[str, Row | Other]) -> dict[str, str]:
    """Return each label's colour, by the family of the method that it stands for."""
    families = {label: of.base_method or label for label, of in known.items()}
    by_family = style.colours(list(families.values()))
    return {label: by_family[name] for label, name in families.items()}


def _beta(label: str, of: Row | Other) -> float | None:
    """Return TRADES' beta, of the label where the summary does not tell the options."""
    if of.base_method:
        beta = options_of(of.options).get("beta") if of.base_method == "trades" else None
        return None if beta is None else float(beta)
    found = re.fullmatch(r"trades(?:_beta([0-9.]+))?", label)
    return None if found is None else float(found[1] or 6)


def _place(label: str, of: Row | Other) -> tuple[int, float, str]:
    """Return a sort key: families together, and TRADES by its beta."""
    family, name = labels.method_order(label, of.base_method)
    return (family, _beta(label, of) or 0.0, name)
