"""A mistake in a method's file is told before anything is trained, or as the file's own."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import torch
from synthetic import some_data, some_spec

from bench.attacks.inner import InnerAttack
from bench.config.method_options import PACKAGE, declarations, declared_in
from bench.config.method_source import ATTACK, check_method
from bench.methods import base
from bench.methods.base import create
from bench.methods.trades import Trades
from bench.planning.doctor import code_checks
from bench.runtime.errors import CodeError, ConfigError
from bench.runtime.exit_code import exit_code
from bench.training.run import Run

INNER = 'InnerAttack(loss="ce", start="uniform")'
READS = 'return {"a": logits["clean"].mean() + logits["adversarial"].mean()}'
FORWARD = "def forward(self, step): return step.logits(clean=step.x, adversarial=step.attack())"
MINE = """
from dataclasses import dataclass
from bench.attacks.inner import InnerAttack
from bench.methods.base import Method, register

@register("mine")
@dataclass(frozen=True, kw_only=True)
class Mine(Method):
    attack = {attack}
    passes = {passes}
    {more}
    def terms(self, logits, labels):
        {terms}
"""


def source(
    folder: Path,
    *,
    attack: str = INNER,
    passes: str = '("clean", "adversarial")',
    terms: str = READS,
    more: str = "",
) -> Path:
    path = folder / "mine.py"
    path.write_text(MINE.format(attack=attack, passes=passes, terms=terms, more=more))
    return path


def problems(path: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        check_method(path, declarations(path)["mine"])
    return caught.value.problems


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"passes": '("clean", "adversarail")'}, "unknown pass 'adversarail'; did you mean 'adver"),
        ({"passes": '("clean", "clean")'}, "names one twice"),
        ({"passes": "()"}, "passes: expected a tuple"),
        ({"passes": '("clean")'}, "passes: expected a tuple"),
        ({"attack": "None"}, "the pass 'adversarial' needs an attack"),
        ({"passes": '("clean",)'}, "no pass uses what the attack makes"),
        ({"attack": 'InnerAttack(loss="cee", start="uniform")'}, "unknown loss 'cee'"),
        ({"attack": 'InnerAttack(loss="ce", start="normal")'}, "unknown start 'normal'"),
        ({"attack": 'InnerAttack(loss="ce")'}, "InnerAttack needs start"),
        ({"attack": 'InnerAttack(loss="ce", start="uniform", mode="tain")'}, "unknown mode 'tain'"),
        ({"terms": READS + ' + logits["memory"]'}, "terms reads logits['memory'], which is not in"),
        ({"terms": READS + ' + logits.get("mem")'}, "terms reads logits['mem'], which is not in"),
        ({"passes": '("clean", "adversarial", "memory")'}, "terms never reads logits['memory']"),
        ({"more": 'teacher_passes = ("guide",)'}, "unknown pass 'guide'"),
        ({"more": 'statistics_passes = ("clean",)'}, "names one twice"),
        ({"more": "statistics_passes = 1"}, "statistics_passes: expected a tuple"),
        ({"more": 'networks = {"averaged": "trained"}'}, "'averaged' is the average of weights"),
        ({"more": 'networks = {"guide": "trianed"}'}, "unknown kind 'trianed'; did you mean 'tr"),
        ({"more": 'networks = {"helper": "frozen"}'}, "the frozen 'helper' needs an option"),
        ({"more": "networks = NETWORKS"}, "networks: expected a literal"),
        ({"more": FORWARD, "terms": READS + ' + logits["guide"]'}, "terms reads logits['guide']"),
    ],
)
def test_what_training_could_not_do_is_named_with_file_and_line(tmp_path, change, said):
    path = source(tmp_path, **change)
    (problem,) = problems(path)
    assert problem.startswith(f"{path}, line ")
    assert said in problem
    folder = tmp_path / "methods"
    folder.mkdir()
    path.rename(folder / "mine.py")
    assert [check.state for check in code_checks(folder)] == ["fail", "ok"]


@pytest.mark.parametrize("missing", ["attack =", "passes =", "def terms", "@dataclass"])
def test_what_a_method_must_have_is_missed(tmp_path, missing):
    path = source(tmp_path)
    lines = path.read_text().splitlines()
    place = next(number for number, line in enumerate(lines) if line.strip().startswith(missing))
    end = place + (2 if missing == "def terms" else 1)
    path.write_text("\n".join(lines[:place] + lines[end:]))
    (problem,) = problems(path)
    assert missing.removeprefix("def ").removesuffix(" =") in problem


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"terms": "return helper(logits, labels)", "passes": '("clean", "adversarial", "memory")'},
        {"terms": READS.replace('["adversarial"]', '.get("adversarial")')},
        {"terms": f'x = logits["memory"] if "memory" in logits else 0\n        {READS}'},
        {"passes": "tuple(WORDS)"},
        {"attack": "None", "passes": '["clean"]', "terms": 'return {"a": logits["clean"].mean()}'},
        {"more": 'networks = {"guide": "trained", "slow": "average"}'},
        {"more": 'networks = {"helper": "frozen"}; helper: Label = "standard"'},
        # What a forward of its own passes over has any name, and may be made without an attack.
        {"more": FORWARD, "attack": "None"},
        {
            "more": "def forward(self, step): return step.logits(guide=step.x)",
            "passes": '("guide",)',
            "terms": 'return {"a": logits["guide"].mean()}',
        },
    ],
)
def test_what_training_can_do_is_accepted(tmp_path, change):
    path = source(tmp_path, **change)
    check_method(path, declarations(path)["mine"])


def test_todays_methods_are_accepted_and_the_words_are_the_attacks_own():
    for path in sorted((PACKAGE / "methods").glob("*.py")):
        for method in declarations(path).values():
            check_method(path, method)
    hints = get_type_hints(InnerAttack)
    assert {name: get_args(hints[name]) for name in ATTACK} == ATTACK


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A folder whose mine.py is a method of the suite."""
    base.names()  # all of the suite's are registered for good
    package = sys.modules["bench.methods"]
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    monkeypatch.setattr(base, "_METHODS", dict(base._METHODS))
    yield tmp_path
    sys.modules.pop("bench.methods.mine", None)


def test_passes_that_only_an_import_tells_are_checked_when_the_method_is_made(mine):
    path = source(mine, passes='("clean",) + ("adversarail",)')
    with pytest.raises(ConfigError, match=r"mine\.py: unknown pass 'adversarail'"):
        create("mine", {})
    assert create("trades", {"beta": 1}) == Trades(beta=1)
    assert path.exists()


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"attack": "InnerAttack(loss=str('cee'), start='uniform')"}, ConfigError, "'cee' is unkn"),
        ({"attack": "NoSuchAttack()"}, CodeError, "line 9: it cannot be imported: NameError"),
        ({"attack": "("}, CodeError, "it cannot be imported: SyntaxError"),
    ],
)
def test_a_file_that_cannot_be_imported_is_named(mine, change, error, said):
    path = source(mine, **change)
    with pytest.raises(error) as caught:
        create("trades", {"beta": 1})
    assert str(caught.value).startswith(str(path))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        (
            "return {'a': logits['memory'].mean()}",
            ", line 13: terms of the method 'mine' failed: K",
        ),
        ("return {}", ": terms of the method 'mine' must return a mapping"),
        ("return logits['clean'].mean()", "must return a mapping of names to tensors, got Tensor"),
        ("return {'a': logits['clean'].mean(1)}", "must return a scalar tensor for 'a'"),
        ("return {'a': logits['clean'].mean().item()}", "a scalar tensor for 'a' such as a mean"),
        ("return {'a': logits['clean'].mean().detach()}", "a term with a gradient"),
    ],
)
def test_a_mistake_in_terms_is_told_as_the_files_own(mine, capsys, terms, said):
    path = source(mine, terms=terms)
    spec = replace(some_spec(), method="mine", options={})
    run = Run(spec, some_data(), torch.device("cpu"))
    assert exit_code(lambda: run.epoch(1, lambda *_: None) and None) == 1
    *log, last = capsys.readouterr().err.splitlines()
    assert last.startswith(f"error: {path}")
    assert said in last
    assert "report" not in last
    assert bool(log and log[0].startswith("Traceback")) == ("failed" in last)


@pytest.mark.parametrize(
    ("forward", "said"),
    [
        ("return step.logits(clean=step.y)", "forward of the method 'mine' failed: AttributeError"),
        ("return step.logits(adversarail=step.x)", "'adversarail', which are in none of its lists"),
    ],
)
def test_a_mistake_in_forward_is_told_as_the_files_own(mine, forward, said):
    path = source(mine, more=f"def forward(self, step): {forward}")
    run = Run(replace(some_spec(), method="mine", options={}), some_data(), torch.device("cpu"))
    with pytest.raises(CodeError) as caught:
        run.epoch(1, lambda *_: None)
    assert str(caught.value).startswith(str(path))
    assert said in str(caught.value)


@pytest.mark.parametrize("function", ["backward", "after_step"])
def test_a_mistake_in_what_surrounds_the_update_is_told_as_the_files_own(mine, function):
    path = source(mine, more=f"def {function}(self, step, *_): step.missing")
    run = Run(replace(some_spec(), method="mine", options={}), some_data(), torch.device("cpu"))
    with pytest.raises(CodeError, match=rf"{function} .* AttributeError") as caught:
        run.epoch(1, lambda *_: None)
    assert str(caught.value).startswith(f"{path}, line")


def test_a_full_memory_in_terms_is_not_the_methods_mistake(monkeypatch):
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Trades, "terms", full)
    with pytest.raises(torch.OutOfMemoryError):
        Run(some_spec(), some_data(), torch.device("cpu")).epoch(1, lambda *_: None)


def test_the_verbs_that_are_known_are_those_of_a_step():
    from bench.config.method_source import VERBS
    from bench.methods.step import Step

    named = {name for name in vars(Step) if not name.startswith("_")}
    assert set(VERBS) == named - {"weights"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("step.logits(cleann=step.x)", "'cleann'"),
        ("step.attak()", "'attak'"),
        ("step.network_logits('helpr', teacher=step.x)", "'helpr'"),
    ],
)
def test_a_forward_that_no_step_could_make_is_refused_by_its_line(tmp_path, line, said):
    more = "networks = {'helper': 'average'}\n    teacher_passes = ('teacher',)\n    "
    terms = 'return {"a": sum(value.mean() for value in logits.values())}'
    path = source(tmp_path, more=f"{more}def forward(self, step): return {line}\n", terms=terms)
    (problem,) = problems(path)
    assert said in problem
    assert f"{path}, line " in problem


def test_what_a_class_assigns_is_read_with_and_without_an_annotation(tmp_path):
    path = source(tmp_path, more="pretrained = True\n    at_most: ClassVar = {'a': 'b'}\n")
    method = declarations(path)["mine"]
    assert declared_in(method, "passes") == ("clean", "adversarial")
    assert declared_in(method, "pretrained") is True
    assert declared_in(method, "at_most") == {"a": "b"}
    assert declared_in(method, "only") is None
