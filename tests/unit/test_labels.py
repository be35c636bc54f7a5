from __future__ import annotations

from fractions import Fraction

import pandas as pd
import pytest
from factory import SPECS

from bench.analysis.names import attack_name, method_name, names_of
from bench.config.method_options import REQUIRED, Option
from bench.results import options
from bench.results.order import attack_order, checkpoint_order
from bench.results.text import eps_text

NAMES = {
    "standard": "Standard",
    "pgd_at": "PGD-AT",
    "trades": "TRADES (β=6)",
    "trades_beta1": "TRADES (β=1)",
    "trades_beta3": "TRADES (β=3)",
    "trades_beta4": "TRADES (β=4)",
    "mart": "MART",
    "mart_authors": "MART (authors' optimizer)",
    "memloss_v1": "MemLoss V1",
    "memloss_v2": "MemLoss V2",
    "memloss_v3": "MemLoss V3",
}


@pytest.mark.parametrize("label", SPECS)
def test_every_label_of_the_configurations_has_its_name(label):
    assert method_name(label, *SPECS[label]) == NAMES[label]


@pytest.mark.parametrize(
    ("label", "method", "options", "name"),
    [
        ("memloss_v1_placebo", "memloss", {"variant": "v1", "beta": 3.0}, "MemLoss V1 (placebo)"),
        ("recycled", "memloss", {"variant": "v2", "beta": 4.0}, "MemLoss V2 (recycled)"),
        ("trades_wide", "trades", {"beta": 0.5}, "TRADES (β=0.5, wide)"),
        ("cap", "cap", {"gamma": 0.5}, "Cap (gamma=0.5)"),
        ("cap_deep", "cap", {"variant": "v2", "gamma": "0.5"}, "Cap V2 (gamma=0.5, deep)"),
        ("cap_beta2", "cap", {"beta": 2.0, "hard": True}, "Cap (β=2, hard=true)"),
        ("cap", "cap", {"beta": 2.0}, "Cap (beta=2)"),
        ("my_method", "", None, "My method"),
    ],
)
def test_what_a_label_says_beyond_its_method_stays_visible(label, method, options, name):
    assert method_name(label, method, options) == name


@pytest.mark.parametrize(
    ("share", "name"), [(0.5, "Mine"), ("0.5", "Mine"), (0.3, "Mine (share=0.3)")]
)
def test_an_own_method_shows_what_is_not_at_its_default(monkeypatch, share, name):
    known = {"share": Option(float, 0.5), "depth": Option(int, REQUIRED)}
    monkeypatch.setattr(options, "method_names", lambda: ("mine",))
    monkeypatch.setattr(options, "method_options", lambda _: known)
    assert method_name("mine", "mine", {"share": share}) == name


def rows(**bases):
    found = [{"method": m, "base_method": b, "options": "", "flags": ""} for m, b in bases.items()]
    return pd.DataFrame(found).assign(model="resnet18")


def test_no_two_labels_have_one_name():
    names = names_of(rows(my_pgd="pgd_at", pgd_at_my_pgd="pgd_at", trades="trades"))
    assert names["my_pgd"] == "PGD-AT (my pgd): my_pgd"
    assert len(set(names.values())) == 3


def test_baselines_come_first_and_methods_of_the_users_own_last():
    labels = rows(zebra="zebra", memloss_v1="memloss", mart="mart", trades_beta1="trades")
    labels = pd.concat([labels, rows(trades="trades", mine="pgd_at", standard="standard")])
    assert list(names_of(labels)) == [
        *("standard", "mine", "trades", "trades_beta1", "mart", "memloss_v1", "zebra")
    ]


def test_the_network_is_named_where_there_are_several():
    labels = pd.concat(
        [
            rows(trades="trades", mine="trades"),
            rows(trades_wrn_28_10="trades").assign(model="wrn_28_10-w4-normalized"),
        ]
    )
    assert names_of(labels) == {
        "trades": "TRADES (ResNet-18)",
        "mine": "TRADES (mine, ResNet-18)",
        "trades_wrn_28_10": "TRADES (WRN-28-10, width 4, normalized)",
    }


def test_attacks_are_named_and_ordered():
    names = [attack_name(name) for name in ("clean", "pgd20", "pgd40", "apgd-t", "worst_case")]
    assert names == ["Clean", "PGD-20", "PGD-40", "APGD-T", "Worst case"]
    order = sorted(["worst_case", "square", "autoattack", "pgd20", "clean"], key=attack_order)
    assert order == ["clean", "pgd20", "autoattack", "square", "worst_case"]


def test_best_comes_before_last():
    assert sorted(["last", "epoch10", "best"], key=checkpoint_order) == ["best", "last", "epoch10"]


@pytest.mark.parametrize(
    ("eps", "text"),
    [(8 / 255, "8/255"), (0.031, "0.031"), (0.0, "0"), (0.3, "0.3"), (16 / 255, "16/255")],
)
def test_a_radius_is_written_as_papers_write_it(eps, text):
    assert eps_text(eps) == text
    assert float(Fraction(text)) == pytest.approx(eps)


def test_a_network_trained_elsewhere_is_told_from_ours():
    frame = rows(trades="trades", theirs="trades")
    frame.loc[frame["method"] == "theirs", "flags"] = "trained_elsewhere"
    names = names_of(frame)
    assert "trained elsewhere" in names["theirs"]
    assert "elsewhere" not in names["trades"]
