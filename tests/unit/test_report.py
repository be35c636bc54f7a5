"""The page holds what the frames hold, escapes all text, and needs no network."""

from __future__ import annotations

import re
import shutil
from itertools import pairwise
from types import SimpleNamespace

import framed
import paged
import pandas as pd
import pytest

from bench.analysis.plots.context import Context
from bench.analysis.report import page
from bench.analysis.report.page import citations
from bench.results.columns import ABLATIONS, CLAIMS, STATISTICS
from bench.results.figures import FIGURES
from bench.results.published import Published
from bench.results.records import MergedPart, MergedRecord
from bench.results.tables import from_rows
from bench.runtime.errors import BenchError

pytestmark = pytest.mark.slow

TWO = {
    "trades": [(82.0, 49.0), (82.4, 49.6)],
    "memloss_v1": [(84.0, 48.0), (84.2, 48.2)],
}
HOSTILE = "</script><b>& $x_1$ %{x} | \\"


def claims(*verdicts, stated_for="cifar10;resnet18;eps=8/255"):
    empty = {name: "" for name, column in CLAIMS.columns.items() if column.kind == "text"}
    rows = [
        empty
        | {"id": f"c{k}", "verdict": verdict, "text": f"claim {k} {HOSTILE}", "claimed": "above -1"}
        | {"methods": "memloss_v1;trades", "stated_for": stated_for, "source": "A & B"}
        | ({} if verdict == "not run" else {"estimate": 1.5, "low": 0.5, "high": 2.5})
        for k, verdict in enumerate(verdicts)
    ]
    return from_rows(CLAIMS, rows)


def statistics(low, high):
    empty = {name: "" for name, column in STATISTICS.columns.items() if column.kind == "text"}
    shared = {"checkpoint": "best", "attack": "autoattack", "interval": "crossed_t", "n_seeds": 2}
    rows = [
        {"quantity": "harmonic_mean", "method": "trades", "estimate": 61.5, "low": 60, "high": 63},
        {"quantity": "harmonic_mean", "method": "memloss_v1", "estimate": 61.1}
        | {"low": 60, "high": 62},
        {"quantity": "harmonic_mean_difference", "method": "trades", "against": "memloss_v1"}
        | {"estimate": 0.4, "low": low, "high": high, "p": 0.2, "p_holm": 0.4},
    ]
    return from_rows(STATISTICS, [empty | shared | {"n_images": 1000} | row for row in rows])


def content(frame=None, published=None, **parts):
    frame = framed.summary(TWO) if frame is None else frame
    context = Context(framed.results(frame, **parts), published or Published())
    return page.content(context, citations({"title": "Suite", "authors": [{"name": "N"}]}))


def html(*arguments, **parts):
    return page.render(content(*arguments, **parts))


def shown(table):
    """Return the rows of a table of the page by heading."""
    return [dict(zip(table.body.columns, row, strict=True)) for row in table.rows]


def test_sections_stand_in_order_and_headings_skip_no_level():
    found = paged.Page(html())
    assert found.open == []
    identities = [a["id"] for name, a in found.elements if name == "section"]
    assert identities == [
        *("answer", "claims-section", "frontier-section", "numbers", "curves", "replay"),
        *("robustness", "cost", "open", "origins", "cite"),
    ]
    levels = [int(name[1]) for name, _ in found.elements if re.fullmatch("h[1-6]", name)]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert levels.count(1) == 1


def test_every_row_of_the_summary_is_there_with_its_interval_and_flags():
    frame = framed.summary(TWO, flags="subset")
    table = content(frame)["summary"]
    assert len(table.rows) == len(frame)
    assert ["TRADES (β=6)", "0", "best", "AutoAttack", "subset", "49.00", "[46.00, 52.00]"] in [
        row[:7] for row in table.rows
    ]
    assert any(note.startswith("subset: not all test images") for note in table.notes)


def test_a_merged_experiment_says_who_measured_what():
    shared = {"references": (), "first": "2026-11-30", "last": "2026-12-01", "apart": ""}
    seeds = {"alice": {"trades": (0,), "memloss_v1": (0,)}, "bob": {"trades": (1,)}}
    parts = tuple(MergedPart(name=name, seeds=own, **shared) for name, own in seeds.items())
    device = SimpleNamespace(device="NVIDIA H200", packages={}, attacks=list)
    evaluations = {("trades", 1): device}
    found = content(merged=MergedRecord(parts=parts), evaluations=evaluations)["parts"]
    alice, bob = shown(found)
    assert (alice["Part"], alice["Methods"], alice["Seeds"]) == (
        "alice",
        "TRADES (β=6), MemLoss V1",
        "0",
    )
    assert (bob["Seeds"], bob["Evaluated on"], bob["Trained on"]) == ("1", "NVIDIA H200", "–")
    assert bob["Evaluated, UTC"] == "2026-11-30 to 2026-12-01"
    assert content()["parts"] is None


@pytest.mark.parametrize(
    ("verdicts", "told"),
    [
        (("reproduced", "inconclusive"), "Of 2 claims this run decides 1: 1 reproduced, 1 inc"),
        (("not run",), "Of 1 claim this run decides none: 1 not run."),
        (("not reproduced",) * 5, "and 2 more."),
    ],
)
def test_the_answer_counts_the_verdicts(verdicts, told):
    answer = " ".join(content(claims=claims(*verdicts))["answer"])
    assert told in answer
    assert "These are not the data" not in answer


@pytest.mark.parametrize(
    ("verdicts", "head"),
    [
        (("reproduced",) * 3, "Yes"),
        (("observed here",) * 3, "Yes"),
        (("reproduced", "no gain worth having", "inconclusive"), "No, .* no gain"),
        (("not observed here", "inconclusive", "not run"), "No, .* no gain"),
        (("not reproduced",) * 3, "No, .* harm"),
        (("reproduced", "reproduced", "inconclusive"), "Whether"),
        (("not run",) * 3, "Whether"),
    ],
)
def test_the_first_sentence_answers_the_question_by_the_deciding_claims(verdicts, head):
    asked = claims(*verdicts).assign(about="memory", worth=0.5, detail="9 seeds would decide")
    others = claims("reproduced", "not reproduced")
    answer = content(claims=pd.concat([others, asked], ignore_index=True))["answer"]
    assert re.match(head, answer[0])
    assert ("1.5 points" in answer[2]) == (set(verdicts) != {"not run"})
    assert ("on these images" in answer[0]) == any("here" in verdict for verdict in verdicts)
    undecided = sum(verdict in ("inconclusive", "not run") for verdict in verdicts)
    assert sum("9 seeds would decide" in said for said in answer) == undecided
    assert any("plan --decide" in said for said in answer) == (head == "Whether")
    assert any("Of 5 claims" in said for said in answer)
    assert any("Of the 3 about the memory" in said for said in answer)


def test_the_answer_says_that_these_are_other_data():
    answer = content(claims=claims("not run", stated_for="svhn;resnet18;eps=8/255"))["answer"]
    assert any("stated for SVHN (ResNet-18, ε\u00a0=\u00a08/255)" in said for said in answer)


@pytest.mark.parametrize(
    ("bounds", "said"),
    [((-1.0, 2.0), "[-2.0, 1.0]"), ((0.5, 2.0), "which excludes zero"), (None, "is not known")],
)
def test_the_best_methods_with_and_without_a_memory_are_compared(bounds, said):
    answer = " ".join(content(statistics=bounds and statistics(*bounds))["answer"])
    assert "recycles adversarial examples is MemLoss V1" in answer
    assert said in answer


def test_the_best_methods_are_those_of_one_network():
    wide = framed.summary(
        {"trades_beta1": [(99, 60)], "memory_mart": [(98, 61)]}, model="wrn_34_10"
    )
    frame = pd.concat([framed.summary(TWO), wide])
    told = [said for said in content(frame)["answer"] if "best method here" in said]
    assert len(told) == 2
    assert all((said.count("WRN"), said.count("ResNet")) in ((2, 0), (0, 2)) for said in told)


def test_every_method_with_a_memory_counts_as_one():
    frame = framed.summary({**TWO, "memory_mart": [(95, 90), (95, 90)]})
    answer = " ".join(content(frame)["answer"])
    assert "recycles adversarial examples is MemLoss" not in answer
    assert "the best that does not is TRADES" in answer


def test_the_placebo_is_no_method_with_a_memory():
    placebo = {"memloss_v1_placebo": [(95, 90), (95, 90)]}
    answer = " ".join(content(framed.summary({**TWO, **placebo}))["answer"])
    assert "recycles adversarial examples is MemLoss V1 (6" in answer
    assert "the best that does not is MemLoss V1 (placebo)" in answer
    assert "Does recycling" not in html(framed.summary({"trades": TWO["trades"], **placebo}))


def test_the_title_asks_for_memory_only_where_there_is_one():
    assert "Does recycling" in content()["title"]
    without = html(framed.summary({"trades": TWO["trades"]}))
    assert "Does recycling" not in without
    assert "that recycles" not in without


ELSEWHERE = {"origin": "external", "flags": "trained_elsewhere", "selected_on": ""}
TAKEN = framed.summary({"theirs": [(85.0, 50.0)], "other": [(83.0, 52.0)]}, **ELSEWHERE)


def test_networks_of_others_alone_are_called_networks_and_no_training_is_missed():
    sections = content(TAKEN)
    text = paged.Page(page.render(sections)).text
    assert not re.search("method", text.partition("Cite this suite")[0], re.IGNORECASE)
    assert "train.json of" not in text
    assert "2 networks" in " ".join(sections["answer"])
    assert {"Network"} == {sections[name].body.columns[0] for name in ("comparison", "summary")}


def test_only_what_was_trained_here_was_selected_on_held_out_images():
    (taken,) = [said for said in content(TAKEN)["frontier_caption"] if "Checkpoint" in said]
    assert "held-out" not in taken
    mixed = content(pd.concat([framed.summary(TWO), TAKEN], ignore_index=True))
    (told,) = [said for said in mixed["frontier_caption"] if "Checkpoint" in said]
    assert re.search("held-out.*; networks trained elsewhere", told)
    assert "2 methods with 2 seeds (0, 1) and 2 networks" in " ".join(mixed["answer"])


def test_a_claim_that_was_not_run_has_no_measurement_and_what_is_decided_comes_first():
    sections = content(claims=claims("not run", "not reproduced"))
    rows = shown(sections["claims"])
    assert [row["Verdict"] for row in rows] == ["not reproduced", "not run"]
    measured = [row["Measured here [interval]"] for row in rows]
    assert measured == ["1.50 [0.50, 2.50]", "–"]
    assert "above −1" in paged.Page(page.render(sections)).text


def test_intervals_of_a_quantity_are_side_by_side():
    row = shown(content(statistics=statistics(-1.0, 2.0))["statistics"])[2]
    assert (row["Method"], row["Minus"]) == ("TRADES (β=6)", "MemLoss V1")
    assert (row["Estimate"], row["Other seeds and images"]) == ("0.40", "[-1.00, 2.00]")
    assert row["p (Holm)"] == "0.4"


def test_the_charts_are_those_of_the_figures_one_for_each_attack_and_checkpoint():
    last = framed.summary(TWO, attack="pgd20", checkpoint="last")
    sections = content(pd.concat([framed.summary(TWO), last], ignore_index=True))
    charts = paged.unpacked(sections["charts"])
    names = {f"frontier/{a}/{c}" for a in ("pgd20", "autoattack") for c in ("best", "last")}
    assert names <= set(charts)
    means = {
        trace["legendgroup"]: (trace["x"], trace["y"])
        for trace in charts["frontier/autoattack/best"]["data"]
        if trace["meta"]["kind"] == "mean"
    }
    assert means["trades"] == ([82.2], [49.3])
    assert not charts["frontier/autoattack/last"]["data"]
    assert sections["frontier_attack"] == "autoattack"


def test_diagnostics_count_failed_checks_and_tell_chance_from_failure():
    outcomes = {"value": 2.5, "threshold": 1.0, "chance": 0.4, "n": 80}
    checks = {
        "eps_zero": SimpleNamespace(**outcomes, passed=True),
        "linearity": SimpleNamespace(**outcomes | {"chance": 1e-5}, passed=False),
    }
    record = SimpleNamespace(
        checkpoints={
            "best": SimpleNamespace(checks=checks, failed=["linearity"], cause="rounding: floor")
        }
    )
    found = content(diagnostics={("trades", 0): record})["checks"]
    assert "1 of 2 checks failed" in found.caption
    assert "Not diagnosed: MemLoss V1." in found.caption
    assert found.rows[0][3:] == ["2.50 within chance", "2.50 ✗", "rounding: floor"]


def test_every_section_shows_all_figures_that_name_it():
    empty = {"charts": [], "methods": [], "legend": [], "columns": 1, "caption": []}
    figures = {spec.section: [] for spec in FIGURES}
    for spec in FIGURES:
        figures[spec.section].append(empty | {"heading": f"Figure {spec.name}"})
    found = paged.Page(page.render(content() | {"figures": figures}))
    named = re.findall(r"Figure (\w+)", found.text)
    assert sorted(named) == sorted(spec.name for spec in FIGURES if spec.section)


def test_the_methods_of_a_figure_have_switches_and_other_curves_a_legend():
    rows = [framed.history(name, 0, [50.0], [30.0], forgetting_rate=[9.0]) for name in TWO]
    figures = content(history=pd.concat(rows, ignore_index=True))["figures"]
    (replayed,), (learning,) = figures["replay"], figures["curves"]
    assert [shown.label for shown in replayed["methods"]] == list(TWO)
    assert not replayed["legend"]
    assert not learning["methods"]
    assert [curve.legend for curve in learning["legend"]] == ["clean", "PGD"]


def test_choices_tell_what_this_run_did():
    rows = {row[0]: row[3] for row in content()["choices"].rows}
    assert rows["V1's weight"] == "A"


def test_what_is_missing_is_said_in_a_line():
    text = paged.Page(html()).text
    for name in ("claims.csv", "statistics.csv", "costs.csv", "train.json of 4 of 4 runs"):
        assert f"{name} is missing" in text
    assert "Diagnostics were not run" in text


def test_hostile_names_and_texts_stay_text():
    frame = framed.summary({"trades": TWO["trades"], HOSTILE: [(80.0, 40.0)]}, warnings=HOSTILE)
    frame["experiment"] = frame["reported_source"] = HOSTILE
    frame["flags"] = "autoattack_warned"
    found = paged.Page(html(frame, claims=claims("reproduced")))
    assert found.open == []
    assert not found.named("b")
    assert f"claim 0 {HOSTILE}" in found.text
    assert len(found.named("script")) == 4
    # Plotly reads a text as HTML: there the names are escaped.
    hover = found.charts["frontier/autoattack/best"]["data"]
    assert any(
        "&lt;/script&gt;&lt;b&gt;&amp; $x 1$ %{x} |" in str(trace["name"])
        for trace in hover
        if "name" in trace
    )
    assert all("$x" not in trace.get("hovertemplate", "") for trace in hover)


def test_the_page_needs_no_other_file_and_no_network_and_is_the_same_again():
    written = html(claims=claims("reproduced"))
    assert written == html(claims=claims("reproduced"))
    found = paged.Page(written)
    assert not [a for _, a in found.elements if a.get("src") or "@import" in (a.get("style") or "")]
    assert {a["href"] for a in found.named("link")} == {"data:,"}
    policy = next(a["content"] for a in found.named("meta") if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "connect-src" not in policy
    assert len(written) < 2_500_000  # of which plotly, compressed, is 2 MB


def test_a_page_that_was_there_stays_when_the_new_one_cannot_be_made(tmp_path):
    out = tmp_path / "report.html"
    out.write_text("older")
    frame = framed.summary(TWO)
    results = framed.results(frame[frame["attack"] == "clean"])
    with pytest.raises(BenchError, match=r"summary\.csv: no attack"):
        page.make_report(results, Published(), None, out)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["older"]
    page.make_report(framed.results(frame), Published(), None, out)
    assert "CITATION.cff is missing" in out.read_text(encoding="utf-8")


def test_works_to_cite_are_named_by_authors_title_and_venue():
    cff = {
        "title": "Suite",
        "version": "1.0",
        "authors": [{"family-names": "A"}, {"name": "B"}],
        "references": [
            {"title": "T", "authors": [{"family-names": n} for n in "CDE"]}
            | {"conference": {"name": "ICML 2019"}, "url": "https://x"}
        ],
    }
    first, second = citations(cff)
    assert first.text == "A and B. Suite. Version 1.0."
    assert (second.text, second.url) == ("C et al. T. ICML 2019.", "https://x")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return paged.experiment(tmp_path_factory.mktemp("whole") / "digits")


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        # Statistics are made again of the per-example results.
        (("claims.csv", "costs.csv", "statistics.csv"), ["claims.csv", "costs.csv"]),
        (("models",), ["train.json of 12 of 12 runs"]),
    ],
)
def test_the_page_of_a_folder_names_what_is_missing(whole, tmp_path, lost, said):
    folder = shutil.copytree(whole, tmp_path / "digits")
    for path in map(folder.joinpath, lost):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    text = paged.shown(folder).text
    assert "TRADES (β=6)" in text
    found = re.findall(r"(\w+\.(?:csv|json)(?: of \d+ of \d+ runs)?) is missing", text)
    assert sorted(found) == said
    assert (folder / "statistics.csv").is_file()


def test_every_digest_and_package_is_there_whole(whole):
    found = paged.shown(whole)
    for row in paged.rows(whole / "summary.csv"):
        assert row["weights_sha256"] in found.text
        assert row["code_digest"] in found.text
    assert "pyautoattack 0.2.0" in found.text
    assert "arXiv:2510.09105" in found.text


def test_ablations_are_shown_where_the_experiment_has_them():
    row = {"choice": "shuffle", "base": "trades/best", "variant": "memloss_v1/last"}
    row |= {"quantity": "accuracy", "attack": "clean", "n_seeds": 2, "n_images": 1000}
    row |= {"difference": -1.5, "low": -2.5, "high": -0.5, "verdict": "matters"}
    row |= {"by_seed": "-1;-2", "flags": "selected_on_test"}
    rows = [row, row | {"attack": "autoattack", "flags": ""}]
    found = content(ablations=from_rows(ABLATIONS, rows))["ablations"]
    (line,) = found.rows
    assert line[1:3] == ["MemLoss V1, last epoch [f1]", "TRADES (β=6)"]
    assert line[3:] == ["-1.50 [-2.50, -0.50] (matters)"] * 2
    assert any("[f1] selected_on_test" in note for note in found.notes)
    assert any("of the 2 in ablations.csv" in note for note in found.notes)
