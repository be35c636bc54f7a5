from __future__ import annotations

import csv
import io
import re

import pytest
from paged import command
from piped import tables as pipes

HEADING = "Reference models (RobustBench)"
NAME = "Addepalli2022Efficient_RN18"
CARD = f"cifar10,{NAME},85.71,52.48,its card,8/255"


@pytest.fixture
def tables(results_factory, tmp_path):
    """The tables of two seeds of TRADES and one listed model, by format."""
    results_factory.dataset = "cifar10"
    results_factory.all(methods=("trades",))
    results_factory.reference(NAME, correct={"clean": 16, "pgd20": 9, "autoattack": 10})
    reported, cards = tmp_path / "reported.csv", tmp_path / "robustbench.csv"
    reported.write_text(
        "dataset,model,method,spec_method,options,metric,value,eps,n,checkpoint_rule,source,kind\n"
    )
    cards.write_text(f"dataset,name,clean,autoattack,source,eps\n{CARD}\n")
    folder = results_factory.folder
    command("summarize", folder, "--reported", str(reported), "--reference", str(cards))
    command("tables", folder)
    return {
        kind: (folder / "tables" / f"comparison.{kind}").read_text("utf-8")
        for kind in ("csv", "md", "tex")
    }


def test_markdown_sets_them_apart_in_a_table_of_their_own(tables):
    ours, theirs = tables["md"].split(f"\n{HEADING}\n\n")
    assert NAME not in ours
    [[header, row]] = pipes(theirs)
    assert header == pipes(ours)[0][0]
    assert row == [
        *(NAME, "best", "–", "80.00", "45.00", "50.00", "45.00"),
        *("85.71 [r1] (−5.71)", "52.48 [r1] (−2.48)"),
    ]


def test_notes_tell_what_they_are_and_keep_seeds_and_caption_to_ours(tables):
    text = tables["md"]
    assert text.startswith("Accuracy in percent on cifar10 (resnet18): mean")
    assert "- Seeds: 0, 1; " in text
    assert "- Reference models were trained by others" in text
    assert "- [r1] its card; reported by others, checkpoint: the same weights" in text
    assert f"autoattack_above_pgd ({NAME}, best, autoattack)" in text
    assert "- Checkpoints: best is the epoch that did best on held-out" in text


def test_latex_sets_them_apart_below_a_rule(tables):
    body = tables["tex"].split(r"\toprule")[1].split(r"\bottomrule")[0]
    header, ours, theirs = body.split(r"\midrule")
    columns = len(re.search(r"\\begin\{tabular\}\{([lr]+)\}", tables["tex"]).group(1))
    heading, row = theirs.strip().splitlines()
    assert heading == rf"\multicolumn{{{columns}}}{{l}}{{\emph{{{HEADING}}}}} \\"
    assert row.strip().startswith(r"Addepalli2022Efficient\_RN18 & best & -- & 80.00")
    assert {line.count("&") + 1 for line in (header, *ours.strip().splitlines(), row)} == {columns}


def test_csv_has_them_last_with_checkpoint_best_and_no_seeds(tables):
    *ours, theirs = csv.DictReader(io.StringIO(tables["csv"]))
    assert [(line["method"], line["seeds"]) for line in ours] == [("trades", "2"), ("trades", "2")]
    assert (theirs["method"], theirs["name"], theirs["checkpoint"]) == (NAME, NAME, "best")
    assert (theirs["seeds"], theirs["clean_seeds"], theirs["clean_std"]) == ("", "", "")
    assert (theirs["clean_mean"], theirs["clean_difference"]) == ("80.00", "-5.71")
    assert theirs["autoattack_source"].startswith("its card")
