from __future__ import annotations

import csv
import io
import re

import pandas as pd
import pytest
from factory import edit_json, write_csv
from paged import command
from piped import tables as pipes

from bench.analysis.sheets import Sheet, as_written, escape, latex, markdown
from bench.analysis.tables import comparison
from bench.results.experiment import ExperimentResults
from bench.runtime.errors import BenchError

HEADER = "dataset,model,method,spec_method,options,metric,value,eps,n,checkpoint_rule,source,kind"


@pytest.fixture
def tables(results_factory, tmp_path):
    """Make the tables of a factory's results; return their text by format."""

    def make(*reported):
        path = tmp_path / "reported.csv"
        path.write_text("\n".join([HEADER, *reported]) + "\n")
        folder = results_factory.folder
        command("summarize", folder, "--reported", str(path))
        command("tables", folder)
        return {
            kind: (folder / "tables" / f"comparison.{kind}").read_text("utf-8")
            for kind in ("csv", "md", "tex")
        }

    return make


def test_rows_are_methods_by_checkpoint_with_baselines_first(results_factory, tables):
    results_factory.all(methods=("memloss_v1", "trades_beta3", "standard"), seeds=(0, 1))
    [[header, *rows]] = pipes(tables()["md"])
    assert header == [
        *("Method", "Checkpoint", "Seeds", "Clean", "PGD-20", "AutoAttack", "Worst case")
    ]
    assert [row[:2] for row in rows] == [
        [name, checkpoint]
        for name in ("Standard", "TRADES (β=3)", "MemLoss V1")
        for checkpoint in ("best", "last")
    ]


def test_cells_are_mean_and_spread_over_seeds_and_a_dash_is_no_measurement(results_factory, tables):
    for seed, standing in enumerate((8, 10, 12)):
        counts = {"clean": 20, "pgd20": standing}
        results_factory.run("trades", seed, correct={"best": counts})
    [[_, row]] = pipes(tables()["md"])
    assert row == [*("TRADES (β=6)", "best", "3", "100.00 ± 0.00", "50.00 ± 10.00", "–", "–")]


def test_one_seed_has_no_spread(results_factory, tables):
    results_factory.run("mart", 0)
    texts = tables()
    [[_, *rows]] = pipes(texts["md"])
    assert rows[0][2:5] == ["1", "80.00", "60.00"]
    [best, _] = csv.DictReader(io.StringIO(texts["csv"]))
    assert (best["clean_mean"], best["clean_std"], best["clean_seeds"]) == ("80.00", "", "1")


def test_an_attack_on_fewer_seeds_says_so(results_factory, tables):
    results_factory.run("mart", 0)
    results_factory.run("mart", 1, correct={"best": {"clean": 16, "pgd20": 12}})
    [[_, *rows]] = pipes(tables()["md"])
    assert rows[0][2:6] == ["2", "80.00 ± 0.00", "60.00 ± 0.00", "50.00 (1 of 2 seeds)"]


def test_reported_numbers_have_a_source_and_a_signed_difference(results_factory, tables):
    results_factory.run("trades", 0, correct={"best": {"clean": 16, "pgd20": 12}})
    texts = tables(
        "digits,resnet18,trades,trades,,clean,80.25,8/255,,not stated,Some paper table 1,paper",
        "digits,resnet18,trades,trades,,pgd20,59.5,8/255,,not stated,Some log,secondary",
    )
    [[header, row]] = pipes(texts["md"])
    assert header[-2:] == ["Clean, reported (difference)", "PGD-20, reported (difference)"]
    assert row[-2:] == ["80.25 [r1] (−0.25)", "59.50 [r2] (+0.50)"]
    assert "- [r1] Some paper table 1; reported by the method's authors" in texts["md"]
    assert "- [r2] Some log; reported by others" in texts["md"]
    [line] = csv.DictReader(io.StringIO(texts["csv"]))
    assert (line["clean_reported"], line["clean_difference"]) == ("80.25", "-0.25")
    assert line["clean_source"].startswith("Some paper table 1")


def test_a_difference_that_rounds_to_zero_has_no_sign(results_factory, tables):
    results_factory.images = results_factory.test_images = 3
    results_factory.run("trades", 0, correct={"best": {"clean": 1, "pgd20": 1}})
    reported = "digits,resnet18,trades,trades,,pgd20,33.33,8/255,,not stated,A log,paper"
    [[_, row]] = pipes(tables(reported)["md"])
    assert row[-1] == "33.33 [r1] (0.00)"


def test_notes_state_images_seeds_radius_checkpoint_and_data(results_factory, tables):
    results_factory.test_images = 30
    results_factory.all(methods=("trades",), seeds=(0, 2))
    text = tables()["md"]
    assert "on digits (resnet18)" in text
    assert "Clean 20; PGD-20 20; AutoAttack 20; Worst case 20" in text
    assert "a subset of the test set" in text
    assert "Seeds: 0, 2;" in text
    assert ": 8/255." in text
    assert "held-out training images" in text
    assert "on the test set" not in text


def test_selection_on_the_test_set_is_said(results_factory, tables):
    results_factory.run("trades", 0, train={"selected_on": "test"})
    results_factory.run("mart", 0)
    text = tables()["md"]
    assert "Checkpoints of trades: best was chosen on the test set" in text
    assert "Checkpoints of mart: best is the epoch that did best on held-out" in text


def test_a_flag_is_passed_on(results_factory, tables):
    results_factory.run("mart", 3, correct={"best": {"clean": 20, "pgd20": 5, "autoattack": 6}})
    assert "autoattack_above_pgd (mart, seed 3, best, autoattack)" in tables()["md"]


def test_a_flag_of_several_seeds_is_said_once(results_factory, tables):
    for seed in (0, 1, 2, 4):
        autoattack = 5 if seed == 4 else 6
        correct = {"clean": 20, "pgd20": 5, "autoattack": autoattack}
        results_factory.run("mart", seed, correct={"best": correct})
    text = tables()["md"]
    assert "Flags: autoattack_above_pgd (mart, seeds 0–2, best, autoattack)." in text
    assert "Seeds: 0, 1, 2, 4;" in text


def test_latex_is_a_closed_booktabs_table_of_equal_rows(results_factory, tables):
    results_factory.all(methods=("mart_authors", "trades_beta3"))
    cell = "digits,resnet18,trades_beta3,trades,beta=3,pgd20"
    text = tables(f"{cell},50,8/255,,not stated,50% & more_,paper")["tex"]
    opened = re.findall(r"\\begin\{(\w+)\}", text)
    assert opened == ["table", "tabular"]
    assert re.findall(r"\\end\{(\w+)\}", text) == opened[::-1]
    body = text.split(r"\toprule")[1].split(r"\bottomrule")[0]
    rows = [line for line in body.splitlines() if line.strip() and r"\midrule" not in line]
    columns = len(re.search(r"\\begin\{tabular\}\{([lr]+)\}", text).group(1))
    assert [line.count("&") + 1 for line in rows] == [columns] * 5
    assert all(line.endswith(r" \\") for line in rows)
    assert r"TRADES ($\beta$=3)" in body
    assert r"50\% \& more\_" in text
    assert not set(text) & set("±−–β")
    assert "textbf" not in text


def test_escaping_leaves_no_sign_that_latex_acts_on():
    assert escape(r"a_b & 5% #1 $x$ {y} ~ ^ \n") == (
        r"a\_b \& 5\% \#1 \$x\$ \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{}n"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("US$ 5", r"US\$ 5"),
        ("<b> & &amp;", r"\<b> & \&amp;"),
        ("_a_ b_c *d*", r"\_a\_ b_c \*d\*"),
        ("a|b", r"a\|b"),
        ("a\\|b", r"a\\\|b"),
        ("`methods.<label>` of *", r"`methods.<label>` of \*"),
        ("two\nlines", "two lines"),
    ],
)
def test_markdown_shows_text_as_it_is_written(text, shown):
    assert as_written(text) == shown
    assert f"| {shown} |" in one_cell(text)


def one_cell(text):
    return markdown(Sheet("x", "Caption.", pd.DataFrame({"A": [text]}), [], words=1))


def test_a_bar_in_code_does_not_split_a_cell():
    assert r"| `a\|b` |" in one_cell("`a|b`")


def test_a_label_in_latex_is_that_of_the_table():
    sheet = Sheet("comparison-x_y", "Caption.", pd.DataFrame({"A": ["a"]}), [])
    assert r"\label{tab:comparison-x-y}" in latex(sheet)


def test_a_name_falls_back_to_the_label_where_the_record_is_gone(results_factory, tables):
    run = results_factory.run("trades_beta3", 0)
    tables()
    (run / "train.json").unlink()
    command("tables", results_factory.folder)
    [[_, *rows]] = pipes((results_factory.folder / "tables" / "comparison.md").read_text("utf-8"))
    assert ["TRADES (β=3)", "best"] in [row[:2] for row in rows]


def test_a_missing_empty_or_foreign_summary_is_named(tmp_path):
    path = tmp_path / "summary.csv"
    with pytest.raises(BenchError, match=r"summary\.csv is missing; .*summarize --folder"):
        comparison(ExperimentResults(tmp_path))
    write_csv(path, ["method"], [["trades"]])
    with pytest.raises(BenchError, match=r"summary\.csv: the column 'experiment' is missing"):
        comparison(ExperimentResults(tmp_path))


def test_a_registered_attack_has_a_column_before_the_worst_case_and_says_what_it_is(
    results_factory, tables
):
    run = results_factory.run(correct={"best": {"clean": 20, "pgd20": 12, "mine": 8}})
    key = "checkpoints__best__attacks__mine__details__about"
    edit_json(run / "evaluation.json", **{key: "Corners of the ball."})
    text = tables()["md"]
    [[header, row]] = pipes(text)
    assert header[-2:] == ["Mine", "Worst case"]
    assert row[-2:] == ["40.00", "40.00"]
    assert "Mine: Corners of the ball." in text
