"""The README's example of a method is one that the suite takes."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from bench.declared import Option, declarations, options_in
from bench.parsing import Amount

README = Path(__file__).parents[2] / "README.md"


def test_the_method_of_the_readme_can_be_read_and_states_its_equation(tmp_path):
    (source,) = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    path = tmp_path / "mine.py"
    path.write_text(source)
    found = declarations(path)
    assert {name: options_in(name, node) for name, node in found.items()} == {
        "mine": {"share": Option(Amount, 0.5)}
    }
    # As the contract asks of every method.
    assert re.search(r"^ +L = ", ast.get_docstring(ast.parse(source), clean=False) or "", re.M)
