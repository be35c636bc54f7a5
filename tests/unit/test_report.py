"""report.html: what it says, from which files, and that it is one file for all browsers."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path

import paged
import pytest
from factory import write_csv, write_json
from paged import Page, shown

REFERENCE = paged.ROOT / "results" / "reference" / "digits"
SECTIONS = (
    *("answer", "claims-section", "frontier-section", "numbers", "curves", "remembered"),
    *("robustness", "cost", "open", "origins", "cite"),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return paged.experiment(tmp_path_factory.mktemp("results") / "digits")


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "digits"))


@pytest.fixture(scope="module")
def html(whole) -> str:
    return paged.page(whole).read_text(encoding="utf-8")


def test_every_section_is_there_in_order_with_headings_that_skip_no_level(html):
    page = Page(html)
    assert not page.open
    assert [s["id"] for s in page.named("section")] == list(SECTIONS)
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.named("html")[0]["lang"] == "en"
    assert {"header", "nav", "main", "footer"} <= {tag for tag, _ in page.elements}
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {a["href"] for a in page.named("a") if (a["href"] or "").startswith("#")}
    assert links - {f"#{name}" for name in ids} == set()


def test_every_row_of_the_summary_and_every_claim_is_in_a_table(whole, html):
    text = Page(html).text
    for row in paged.rows(whole / "summary.csv"):
        assert f"{row['accuracy']} " in text
        assert f"[{row['ci_low']}, {row['ci_high']}]" in text
    for claim in paged.rows(whole / "claims.csv"):
        assert claim["text"] in text
        assert claim["detail"] in text


def test_a_claim_that_was_not_run_has_no_measurement(whole, html):
    assert "not run" in [claim["verdict"] for claim in paged.rows(whole / "claims.csv")]
    text = Page(html).text
    assert "– over seeds" not in text
    assert "] over seeds" in text


def test_the_answer_counts_the_verdicts_and_says_that_these_are_other_data(whole, html):
    answer = re.search(r'<p class="answer">(.*?)</p>', html, re.DOTALL)[1].replace("\xa0", " ")
    verdicts = [row["verdict"] for row in paged.rows(whole / "claims.csv")]
    for verdict in set(verdicts):
        assert f"{verdicts.count(verdict)} {verdict}" in answer
    assert f"Of {len(verdicts)} claims" in answer
    assert "stated for CIFAR-10 (ResNet-18, ε = 8/255)" in answer
    assert "6 methods on scikit-learn digits (ResNet-18) with 2 seeds (0, 1)" in answer
    assert "20 test images" in answer


def test_on_the_papers_data_nothing_says_otherwise_and_its_numbers_stand_beside(tmp_path):
    page = shown(paged.experiment(tmp_path / "paper", dataset="cifar10", seeds=(0,)))
    assert "These are not the data" not in page.text
    assert "With one seed there is no interval" in page.text
    kinds = {trace["meta"].get("kind") for trace in page.charts["frontier"]["data"]}
    assert {"seed", "mean", "betas", "front", "paper", "card"} == kinds
    assert "reported 84.52 [r" in page.text


def test_hovering_will_show_the_numbers_of_the_summary_with_their_interval(whole, html):
    traces = Page(html).charts["frontier"]["data"]
    seeds = [trace for trace in traces if trace["meta"].get("kind") == "seed"]
    told = [text for trace in seeds for text in trace["text"]]
    attacked = [r for r in paged.rows(whole / "summary.csv") if r["attack"] != "clean"]
    assert len(told) == len(attacked)
    for row in attacked:
        numbers = f"{row['accuracy']} % [{row['ci_low']}, {row['ci_high']}] of {row['n']} images"
        assert any(
            numbers in text and f"seed {row['seed']}, {row['checkpoint']}" in text for text in told
        )


def test_points_on_one_spot_tell_of_each_other(html):
    # MART's first seed has the counts of the second of TRADES.
    traces = Page(html).charts["frontier"]["data"]
    (text,) = {
        trace["text"][place]
        for trace in traces
        for method, place in (("mart", 0), ("trades", 1))
        if trace["meta"].items()
        >= {"kind": "seed", "method": method, "attack": "autoattack"}.items()
    }
    assert "<b>MART</b>, seed 0" in text
    assert "<b>TRADES (β=6)</b>, seed 1" in text


def test_flags_and_warnings_stand_beside_their_number_with_their_meaning(html):
    page = Page(html)
    assert "AutoAttack&#39;s own checks warned" in html
    assert paged.WARNING in page.text
    beside = [a for a in page.named("abbr") if a["class"] == "flag"]
    assert any(paged.WARNING in (mark["title"] or "") for mark in beside)


def test_diagnostics_are_shown_where_they_were_run_and_named_where_not(html):
    page = Page(html)
    said = "2 of 4 checks failed, on 2 networks (seeds: 0, 1) and 80 test images. Not diagnosed:"
    assert f"{said} Standard, TRADES (β=3), MART" in page.text
    assert "9.00 ✗" in page.text
    assert "diagnostics_square_stronger the check square_stronger failed" in page.text
    assert page.charts["strength-eps"]["data"][0]["y"] == [90.0, 60.0, 30.0]
    assert page.charts["strength-steps"]["layout"]["xaxis"]["type"] == "log"
    assert page.charts["surface-2"]["data"][0]["z"] == [[2.0, 1.0, 0.0], [1.0] * 3, [0.0, 1.0, 2.0]]


def test_what_transfers_is_a_table_with_attacks_on_oneself_on_the_diagonal(folder):
    networks = ("trades", "memloss_v1")
    lines = [("best", a, b, "50.00" if a == b else "70.00", 20) for a in networks for b in networks]
    header = ["checkpoint", "source", "target", "accuracy", "n"]
    write_csv(folder / "transfer" / "seed0.csv", header, lines)
    checks = {"memloss_v1": {"checks": {"transfer_stronger": paged.CHECK}}}
    write_json(folder / "transfer" / "seed0.json", {"checkpoints": {"best": checks}})
    page = shown(folder)
    assert "made on TRADES (β=6) made on MemLoss V1" in page.text
    assert "TRADES (β=6) 50.0 70.0 MemLoss V1 70.0 50.0" in page.text
    assert "transfer_stronger, ≤ 1 %" in page.text


def test_curves_and_remembered_examples_are_means_over_seeds(html):
    charts = Page(html).charts
    assert charts["curve-0"]["data"][2]["y"] == [69.0, 70.0, 71.0]
    fooling = charts["remembered-0"]["data"]
    assert {trace["meta"]["method"] for trace in fooling} == set(paged.METHODS) - {"standard"}
    assert fooling[0]["x"] == [2, 3]
    assert fooling[0]["y"] == [20.0, 30.0]
    assert charts["remembered-age"]["data"][0]["x"][0] == 0


def test_curves_say_of_each_method_on_which_images_they_are(whole, folder):
    said = "Measured on held-out training images"
    assert f"{said}. The checkpoint is chosen there" in shown(whole).text
    paged.rewrite(
        folder / "summary.csv",
        lambda row: row.update(selected_on="test") if row["method"] == "mart" else None,
    )
    assert f"{said}; MART: on the TEST images. The checkpoint is chosen there" in shown(folder).text


def test_of_v1_alone_the_spread_of_its_weights_is_drawn(html):
    traces = Page(html).charts["remembered-3"]["data"]
    drawn = Counter(trace["meta"]["method"] for trace in traces)
    others = dict.fromkeys(set(paged.METHODS) - {"standard", "memloss_v1"}, 1)
    assert drawn == {"memloss_v1": 3, **others}
    lower, upper, _ = (t for t in traces if t["meta"]["method"] == "memloss_v1")
    assert (lower["fill"], upper["fill"]) == ("none", "tonexty")
    assert "10th percentile" in lower["hovertemplate"]


def test_choices_tell_what_this_run_did(html):
    table = re.search(r'<table id="choices">(.*?)</table>', html, re.DOTALL)[1]
    text = Page(table).text
    assert "as_seen" in text
    assert "epochs 3" in text
    assert "6: TRADES (β=6)" in text


def test_provenance_is_shortened_and_whole_on_hover(whole, html):
    titles = {cell.get("title") for cell in Page(html).named("td")}
    for row in paged.rows(whole / "summary.csv"):
        assert row["weights_sha256"] in titles
        assert row["code_digest"] in titles
    assert "pyautoattack 0.2.0" in html
    assert "trained with python 3.11.0, torch 2.14.1" in html
    assert "arXiv:2510.09105" in html


def test_the_same_files_give_the_same_bytes_in_any_folder_of_that_name(whole, folder):
    first = paged.page(whole).read_bytes()
    assert paged.page(folder).read_bytes() == first


def test_the_page_needs_no_other_file_and_no_network(html):
    page = Page(html)
    assert not {"img", "iframe", "object", "embed"} & {tag for tag, _ in page.elements}
    assert all("src" not in script for script in page.named("script"))
    assert [link["href"] for link in page.named("link")] == ["data:,"]
    (policy,) = (m["content"] for m in page.named("meta") if "http-equiv" in m)
    assert "default-src 'none'" in policy
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style


def test_the_page_is_little_more_than_the_plotting_library(html):
    assert len(html.encode()) < 6_500_000


def test_hostile_names_and_texts_stay_text(folder):
    evil = "</script><img src=x onerror=alert(1)>&amp;{{ 7 * 7 }}"
    paged.rewrite(
        folder / "claims.csv", lambda row: row.update(text=evil, source=evil, detail=evil)
    )
    for name in ("summary.csv", "costs.csv", "statistics.csv"):
        paged.rewrite(
            folder / name,
            lambda row: row.update(
                {
                    key: evil if value == "mart" else value
                    for key, value in row.items()
                    if key in ("method", "base_method", "against")
                }
            ),
        )
    paged.rewrite(folder / "summary.csv", lambda row: row.update(attack_source=evil, flags=evil))
    page = shown(folder)
    assert not page.open
    assert "img" not in {tag for tag, _ in page.elements}
    assert len(page.named("script")) == 3
    assert evil in page.text
    assert not any("onerror" in attributes for _, attributes in page.elements)
    traces = [trace for chart in page.charts.values() for trace in chart["data"]]
    keys = ("text", "name", "hovertemplate")
    shown_on_hover = json.dumps([[trace.get(key) for key in keys] for trace in traces])
    assert "<img" not in shown_on_hover
    assert "&lt;img" in shown_on_hover


def test_of_a_published_run_every_missing_file_is_named_in_a_line(tmp_path):
    folder = tmp_path / "digits"
    folder.mkdir()
    shutil.copy(REFERENCE / "summary.csv", folder)
    page = shown(folder)
    missing = re.findall(r'<p class="missing">(.*?)</p>', (folder / "report.html").read_text())
    named = " ".join(missing)
    for file in ("claims.csv", "statistics.csv", "history.csv", "costs.csv", "train.json"):
        assert file in named
    assert "Diagnostics were not run" in named
    assert [s["id"] for s in page.named("section")] == list(SECTIONS)
    assert "MemLoss V1" in page.text


def test_of_the_published_digits_one_command_makes_the_whole_page(tmp_path):
    page = shown(Path(shutil.copytree(REFERENCE, tmp_path / "digits")))
    assert "with a 95 % interval" in page.text
    assert "is not there" not in page.text
    assert "may be trusted is not known" not in page.text
    assert (tmp_path / "digits" / "statistics.csv").is_file()


@pytest.mark.parametrize("lost", ["claims.csv", "statistics.csv", "costs.csv", "models"])
def test_it_is_made_without_any_one_of_the_other_files(folder, lost):
    path = folder / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    page = shown(folder)
    assert [s["id"] for s in page.named("section")] == list(SECTIONS)


def test_ablations_are_shown_where_the_experiment_has_them(folder):
    header = "choice,base,variant,quantity,attack,n_seeds,n_images,difference,low,high,verdict,"
    line = "shuffle,trades/best,mart/last,accuracy,clean,2,20,-1.5,-2.5,-0.5,matters,"
    (folder / "ablations.csv").write_text(f"{header}flags\n{line}selected_on_test\n")
    page = shown(folder)
    assert "matters: [−2.50, −0.50]" in page.text
    assert "last epoch selected_on_test" in page.text
    assert "of the 1 in ablations.csv" in page.text
