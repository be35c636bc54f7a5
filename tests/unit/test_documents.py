"""The documents say what the code says, and every file that they name is there."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import generate
import pytest
import yaml
from factory import read_csv

from bench.config.method_options import Option, declarations, options_in
from bench.config.parsing import Amount
from bench.results import flags
from bench.results.figures import FIGURES

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("name", generate.PARTS)
def test_generated_parts_are_those_of_the_code(name):
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert text == generate.generated(name), "run `make docs`"


def test_every_key_of_the_schema_is_described():
    # A key without a word about it would leave an empty cell.
    assert not re.search(r"\| *\|$", generate.config(), re.M)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_linked_files_and_headings_are_there(path):
    for target, _, heading in re.findall(r"\]\((?!http)([^)#]*)(#([^)]*))?\)", path.read_text()):
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), target
        if heading:
            text = file.read_text(encoding="utf-8")
            headings = re.findall(r"^#+ (.*)$", text, re.M)
            slugs = {re.sub(r"[^\w -]", "", name.lower()).replace(" ", "-") for name in headings}
            assert heading in slugs, f"{target}#{heading}"


def test_the_readme_can_be_read_in_a_few_minutes():
    assert len((ROOT / "README.md").read_bytes()) <= 8000


def test_configs_that_documents_name_are_there():
    for path in DOCUMENTS:
        for name in re.findall(r"config/[\w/]+\.(?:yaml|csv)", path.read_text(encoding="utf-8")):
            assert (ROOT / name).exists(), f"{path.name}: {name}"


def test_every_figure_is_in_the_document_of_results():
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    listed = ",".join(re.findall(r"figures/{([\w,]+)}", text)).split(",")
    assert set(listed) == {figure.name for figure in FIGURES}


DECLARED = {word for name, word in vars(flags).items() if name.isupper() and isinstance(word, str)}


def test_every_flag_has_a_meaning():
    assert set(flags.MEANINGS) == DECLARED - {flags.DIAGNOSTICS}
    assert "linearity" in flags.meaning("diagnostics_linearity")


def test_a_flag_is_written_in_one_place():
    # Behind the beginning stands the name of a check; the record of diagnostics is none.
    ends = [f"{word}(?!record).*" if word == flags.DIAGNOSTICS else word for word in DECLARED]
    written = re.compile(f'"({"|".join(ends)})"')
    files = [file for file in (ROOT / "bench").rglob("*.py") if written.search(file.read_text())]
    assert files == [ROOT / "bench" / "results" / "flags.py"]


def test_the_method_of_the_documents_can_be_read_and_states_its_equation(tmp_path):
    text = (ROOT / "docs" / "new-method.md").read_text(encoding="utf-8")
    (source,) = re.findall(r'^```python\n(""".*?)^```', text, re.MULTILINE | re.DOTALL)
    path = tmp_path / "mine.py"
    path.write_text(source)
    found = declarations(path)
    assert {name: options_in(name, node) for name, node in found.items()} == {
        "mine": {"share": Option(Amount, 0.5)}
    }
    # As the contract asks of every method.
    assert re.search(r"^ +L = ", ast.get_docstring(ast.parse(source), clean=False) or "", re.M)


def test_what_was_found_is_what_the_published_claims_say():
    claims = read_csv(ROOT / "results" / "reference" / "digits20" / "claims.csv")
    counts = Counter(claim["verdict"] for claim in claims)
    left = counts["inconclusive"] + counts["not run"]
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert (
        f"Of {len(claims)} claims {len(claims) - left} are decided, {counts['inconclusive']} are "
        f"inconclusive and {counts['not run']} not run"
    ) in text
    found = {claim["id"]: claim for claim in claims}
    short, memory = found["v1-beyond-trades"], found["memory-over-placebo"]
    assert short["verdict"] == "no gain worth having here"
    assert memory["verdict"] == "observed here"
    one = "{:.1f}".format
    value, low, high = (one(-float(short[key])) for key in ("estimate", "high", "low"))
    assert f"V1 is {value} points short" in text
    assert f"interval {low.replace('-', '−')} to {high})" in text
    value, low, high = (one(float(memory[key])) for key in ("estimate", "low", "high"))
    assert f"worth {value} points of harmonic mean more" in text
    assert f"clean crops ({low} to {high})" in text


def test_the_digits_with_twenty_seeds_are_the_digits():
    few, many = (
        yaml.safe_load((ROOT / "config" / name).read_text(encoding="utf-8"))
        for name in ("digits.yaml", "digits20.yaml")
    )
    assert many == {**few, "experiment": "digits20", "seeds": list(range(20))}
