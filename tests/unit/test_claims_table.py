"""claims.csv and its table, by the command, from files alone: the digits and others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from claimed import CLAIMS, ROOT, repository_claims
from factory import ResultsFactory
from paged import command, rows, shown
from settings import settings

from bench.__main__ import main
from bench.analysis.claims.verdict import MEANINGS

REFERENCE = ROOT / "results" / "reference" / "digits"


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The claims' methods on the digits, but for the placebo; seeds differ in AutoAttack alone."""
    factory = ResultsFactory(tmp_path_factory.mktemp("results") / "digits")
    methods = ("memloss_v1", "memloss_v2", "memloss_v3", "trades", "trades_beta1", "trades_beta3")
    for place, method in enumerate((*methods, "trades_beta4", "mart")):
        for seed in (0, 1):
            left = 8 + place * (seed + 1) % 4
            factory.run(method, seed, correct={"best": {"clean": 16, "autoattack": left}})
    command("summarize", factory.folder)
    return factory.folder


def claims(folder: Path, file: Path = CLAIMS) -> list[dict[str, str]]:
    command("claims", folder, "--claims", str(file))
    return rows(folder / "claims.csv")


def test_every_claim_has_a_verdict_on_the_digits_and_none_is_of_the_paper(digits):
    found = claims(digits)
    assert [line["id"] for line in found] == [one.id for one in repository_claims().claims]
    for line in found:
        assert line["verdict"] in set(MEANINGS) - {"reproduced", "not reproduced"}
        if line["kind"] == "number":
            assert line["verdict"] == "not run"
            assert line["detail"].endswith("the data set here is digits")
        assert line["source"]
        if line["verdict"] in ("not run", "inconclusive"):
            assert line["detail"]


def test_what_is_measured_on_the_digits_comes_from_the_counts(digits):
    (line,) = [line for line in claims(digits) if line["id"] == "v1-v2-autoattack"]
    evaluated = [
        row
        for row in rows(digits / "summary.csv")
        if (row["checkpoint"], row["attack"]) == ("best", "autoattack")
    ]
    one, other = (
        sum(int(row["correct"]) for row in evaluated if row["method"] == method)
        for method in ("memloss_v1", "memloss_v2")
    )
    # Two seeds of 20 images each.
    estimate = 100 * (one - other) / 40
    assert line["estimate"] == f"{estimate:.2f}"
    assert (line["methods"], line["n_seeds"], line["n_images"]) == (
        "memloss_v1;memloss_v2",
        "2",
        "20",
    )
    assert (line["interval"], line["level"], line["claimed"]) == ("crossed_t", "95.00", "above 0")
    assert float(line["low"]) < estimate < float(line["high"])
    flags = {row["flags"] for row in evaluated if row["method"] in ("memloss_v1", "memloss_v2")}
    assert line["flags"] == ";".join(sorted(filter(None, flags)))
    assert line["stated_for"] == "cifar10;resnet18;eps=8/255"


def test_the_table_shows_every_claim_and_says_what_verdicts_mean(digits):
    found = claims(digits)
    table = (digits / "tables" / "claims.md").read_text()
    for line in found:
        assert line["text"] in table
        assert f"- {line['verdict']}: " in table
    assert "What is claimed, compared with digits (resnet18)." in table


def test_made_again_they_are_byte_equal_in_whatever_folder(digits, tmp_path):
    claims(digits)
    files = [digits / "claims.csv", digits / "tables" / "claims.md"]
    first = [file.read_bytes() for file in files]
    claims(digits)
    assert [file.read_bytes() for file in files] == first
    shutil.copytree(digits, tmp_path / "elsewhere")
    claims(tmp_path / "elsewhere")
    assert [(tmp_path / "elsewhere" / "claims.csv").read_bytes()] == first[:1]


def test_the_published_claims_come_from_the_files_beside_them(tmp_path):
    digits = Path(shutil.copytree(REFERENCE, tmp_path / "digits"))
    claims(digits)
    assert (digits / "claims.csv").read_bytes() == (REFERENCE / "claims.csv").read_bytes()
    assert (digits / "tables" / "claims.md").read_text() == (REFERENCE / "claims.md").read_text()


def test_a_summary_alone_has_no_verdict_on_orders(tmp_path):
    folder = tmp_path / "digits"
    folder.mkdir()
    shutil.copy(REFERENCE / "summary.csv", folder)
    assert {line["verdict"] for line in claims(folder)} == {"not run"}


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("claims", 0, "metric"), "claen", "'claen' is unknown; did you mean 'clean'?"),
        (("claims", 0, "method"), "V4", "the method 'V4' is not among this file's methods"),
        (("claims", 0, "rule"), "valu", "'valu' is unknown; did you mean 'value'?"),
        (("methods", "V1", "method"), "memlos", "'memlos' is unknown; did you mean 'memloss'?"),
    ],
)
def test_a_wrong_word_ends_in_one_sentence_and_writes_nothing(
    tmp_path, capsys, path, value, sentence
):
    folder = tmp_path / "digits"
    folder.mkdir()
    shutil.copy(REFERENCE / "summary.csv", folder)
    content = yaml.safe_load(CLAIMS.read_text())
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    file = tmp_path / "claims.yaml"
    file.write_text(yaml.safe_dump(content))
    assert main(["claims", "--folder", str(folder), "--claims", str(file)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {file}: ")
    assert sentence in error
    assert error.count("\n") == 1
    assert not (folder / "claims.csv").exists()
    assert not (folder / "tables").exists()


def test_an_experiment_with_no_method_of_a_paper_has_no_claims_and_no_section_of_them(
    results_factory,
):
    folder = results_factory.all(("trades", "mart"))
    command("summarize", folder)
    command("claims", folder)
    assert rows(folder / "claims.csv") == []
    assert (folder / "tables" / "claims.md").is_file()
    page = shown(folder)
    assert "claims-section" not in {attributes.get("id") for attributes in page.named("section")}
    assert "#claims-section" not in {attributes.get("href") for attributes in page.named("a")}


def test_an_id_of_two_files_is_refused(digits, tmp_path, capsys):
    again = shutil.copy(CLAIMS, tmp_path / "again.yaml")
    files = ("--claims", str(CLAIMS), str(again))
    assert main(["claims", "--folder", str(digits), *files]) == 1
    assert f"{again}: claims.v1-clean: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("bound", "verdict"), [("above", "reproduced"), ("below", "not reproduced")]
)
def test_overfitting_is_the_loss_from_best_to_last_beside_that_of_another(tmp_path, bound, verdict):
    factory = ResultsFactory(tmp_path / "digits", images=200, test_images=200)
    # In two seeds PGD-AT loses 9 and 11 percent of the images, and TRADES 2.
    for method, seed, best, last in (
        ("pgd_at", 0, 120, 102),
        ("pgd_at", 1, 120, 98),
        ("trades", 0, 110, 106),
        ("trades", 1, 112, 108),
    ):
        counts = {"best": {"clean": 180, "pgd20": best}, "last": {"clean": 180, "pgd20": last}}
        factory.run(method, seed, correct=counts)
    command("summarize", factory.folder)
    content = {
        "scope": {"dataset": "digits", "model": "resnet18", "eps": "8/255"},
        "methods": {"A": {"method": "pgd_at"}, "B": {"method": "trades", "beta": 6}},
        "claims": [
            {"id": "one", "text": "A overfits", "source": "a paper", "kind": "order"}
            | {"rule": "overfitting", "method": "A", "against": "B", "metric": "pgd20", bound: 0}
        ],
    }
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(content))
    (found,) = claims(factory.folder, file)
    assert (found["estimate"], found["n_seeds"], found["n_images"]) == ("8.00", "2", "200")
    assert (found["paper"], found["rule"], found["verdict"]) == ("mine", "overfitting", verdict)


def test_claims_of_another_paper_need_no_code(tmp_path):
    factory = ResultsFactory(tmp_path / "digits", images=100, test_images=100)
    for method, robust in (("pgd_at", 60), ("standard", 5)):
        for seed in (0, 1):
            counts = {"clean": 96 + seed, "pgd20": robust + seed * (robust > 50)}
            factory.run(method, seed, correct={"best": counts, "last": counts})
    command("summarize", factory.folder)
    file = tmp_path / "mine.yaml"
    file.write_text(
        """
scope: {dataset: digits, model: resnet18, eps: 8/255}
methods:
  PGD-AT: {method: pgd_at}
  standard: {method: standard}
claims:
  - id: robust
    text: PGD-AT is more robust than standard training
    source: a paper
    kind: order
    rule: difference
    method: PGD-AT
    against: [standard]
    metric: pgd20
    above: 0
  - id: last
    text: PGD-AT has 97 % clean accuracy at the end
    source: a paper
    kind: number
    rule: value
    scope: {checkpoint: last}
    method: PGD-AT
    metric: clean
    expected: 97
    margin: 10
"""
    )
    found = claims(factory.folder, file)
    assert [line["verdict"] for line in found] == ["reproduced", "reproduced"]
    assert found[1]["checkpoint"] == "last"


def test_a_claim_names_the_network_of_its_methods_and_a_ratio_has_its_digits(tmp_path):
    factory = ResultsFactory(tmp_path / "digits", images=100, test_images=100, model="small_cnn")
    for model, methods in (("small_cnn", ("mart",)), ("resnet18", ("pgd_at", "trades"))):
        factory.model = model
        for method in methods:
            for seed in (0, 1):
                factory.run(method, seed)
    command("summarize", factory.folder)
    shared = {"text": "one", "source": "a paper", "kind": "order"}
    cost = shared | {"rule": "cost", "method": "A", "against": "B", "below": 9}
    content = {
        "scope": {"dataset": "digits", "model": "resnet18", "eps": "8/255"},
        "methods": {"A": {"method": "pgd_at"}, "B": {"method": "trades", "beta": 6}}
        | {"C": {"method": "mart", "beta": 5}},
        "claims": [{"id": "same"} | cost, {"id": "other"} | cost | {"against": "C"}],
    }
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(content))
    costs = factory.folder / "costs.csv"
    frame = pd.read_csv(costs)
    frame.loc[(frame["method"] == "pgd_at") & (frame["stage"] == "train"), "seconds"] *= 0.00123
    frame.to_csv(costs, index=False)
    same, other = claims(factory.folder, file)
    assert (same["model"], float(same["estimate"])) == ("resnet18", pytest.approx(0.00123))
    assert "0.00123" in (factory.folder / "tables" / "claims.md").read_text()
    assert other["verdict"] == "not run"
    assert set(other["model"].split(";")) == {"resnet18", "small_cnn"}


@pytest.mark.parametrize(
    ("named", "papers"), [(["sat"], {"sat"}), ([], set()), (None, {"memloss"})]
)
def test_by_hand_the_files_are_those_of_the_config(digits, tmp_path, named, papers):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(settings({"claims": named})))
    command("claims", digits, "--config", str(config))
    assert {row["paper"] for row in rows(digits / "claims.csv")} == papers
