"""The flags of a row as marks of the page."""

from __future__ import annotations

from collections.abc import Mapping

from bench.analysis.flag_meanings import meaning
from bench.analysis.report.grid import Mark
from bench.results.flags import WARNED


def flags_of(row: Mapping[str, str]) -> list[str]:
    """Return the flags of a row of summary.csv or claims.csv."""
    return [flag for flag in row["flags"].split(";") if flag]


def marks(row: Mapping[str, str]) -> list[Mark]:
    """Return the flags of a row with their meanings, AutoAttack's own warning among them."""
    said = row.get("warnings", "")
    told = {WARNED: f"{meaning(WARNED)}: {said}"} if said else {}
    return [Mark(flag, told.get(flag, meaning(flag))) for flag in flags_of(row)]
