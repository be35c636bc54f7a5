"""What README and documents say is so: the example of a method, and what was found."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

from factory import read_csv

from bench.config.method_options import Option, declarations, options_in
from bench.config.parsing import Amount

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
NEW_METHOD = ROOT / "docs" / "new-method.md"


def test_the_method_of_the_documents_can_be_read_and_states_its_equation(tmp_path):
    (source,) = re.findall(
        r"^```python\n(.*?)^```", NEW_METHOD.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    path = tmp_path / "mine.py"
    path.write_text(source)
    found = declarations(path)
    assert {name: options_in(name, node) for name, node in found.items()} == {
        "mine": {"share": Option(Amount, 0.5)}
    }
    # As the contract asks of every method.
    assert re.search(r"^ +L = ", ast.get_docstring(ast.parse(source), clean=False) or "", re.M)


def test_what_was_found_is_what_the_published_claims_say():
    path = ROOT / "results" / "reference" / "digits" / "claims.csv"
    claims = read_csv(path)
    counts = Counter(claim["verdict"] for claim in claims)
    open_ = ("inconclusive", "not run")
    assert [claim["id"] for claim in claims if claim["verdict"] not in open_] == ["v1-cost"]
    said = f"{counts['inconclusive']} are inconclusive and {counts['not run']} not run"
    text = " ".join(README.read_text(encoding="utf-8").split())
    assert f"of {len(claims)} claims {said}" in text
