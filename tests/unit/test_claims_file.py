"""Files of claims: the repository's own, and what is wrong in others, in one sentence each."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
import yaml
from claimed import ROOT, repository_claims

from bench.analysis.claims.file import read_claims
from bench.analysis.claims.rules import RULES, RuledClaim
from bench.analysis.statistics.quantities import difference
from bench.config.claims import claim_files, proposed
from bench.config.method_options import method_names
from bench.results.columns import CLAIMS, STATISTICS
from bench.results.published import find, read_reported
from bench.runtime.errors import BenchError, ConfigError

PAPERS = sorted((ROOT / "config" / "claims").glob("*.yaml"))

VALUE = {
    "id": "one",
    "text": "V1 has 84.52 % clean accuracy",
    "source": "a table",
    "kind": "number",
    "rule": "value",
    "method": "V1",
    "metric": "clean",
    "expected": 84.52,
    "margin": 1.0,
}
ORDER = {key: value for key, value in VALUE.items() if key not in ("expected", "margin")}
ORDER |= {"kind": "order", "rule": "difference", "against": ["T"], "above": 0}


def file(**changes):
    content = {
        "scope": {"dataset": "cifar10", "model": "resnet18", "eps": "8/255"},
        "methods": {
            "V1": {"method": "memloss", "variant": "v1", "beta": 3, "memory_beta": 2},
            "T": {"method": "trades", "beta": 6},
        },
        "claims": [VALUE],
    }
    return content | changes


def read(tmp_path, content):
    path = tmp_path / "claims.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return read_claims(path, ("strong",))


def refusal(tmp_path, content):
    with pytest.raises(BenchError) as refused:
        read(tmp_path, content)
    return str(refused.value)


def test_the_repositorys_claims_have_sources_and_rules_of_every_kind():
    claims = [claim for path in PAPERS for claim in read_claims(path, ()).claims]
    assert all(claim.source and claim.text for claim in claims)
    assert len({claim.id for claim in claims}) == len(claims)
    assert {claim.rule for claim in claims} == set(RULES)
    assert {claim.kind for claim in claims} == {"number", "order"}


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.stem)
def test_a_paper_proposes_methods_that_are_there(path):
    assert proposed(path)
    assert set(proposed(path)) <= set(method_names())


@pytest.mark.parametrize(
    ("methods", "names", "papers"),
    [
        (["trades", "memloss_hat", "cure"], None, ["cure", "memloss"]),
        (["trades", "pgd_at"], None, []),
        (["trades"], ("sat", "memloss"), ["sat", "memloss"]),
        (["memloss"], (), []),
    ],
)
def test_an_experiment_is_held_against_papers_of_its_methods_or_those_it_names(
    methods, names, papers
):
    assert [path.stem for path in claim_files(methods, names)] == papers


def test_an_unknown_paper_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match=r"claims: 'memlos' .*'memloss'"):
        claim_files(["memloss"], ["memlos"])


def test_claimed_numbers_are_the_reported_ones():
    known, reported = repository_claims(), read_reported(ROOT / "config" / "reported.csv")
    values = [claim for claim in known.claims if claim.rule == "value"]
    assert len(values) == 6
    for claim in values:
        method = known.methods[claim.method]
        of = find(
            reported,
            dataset=claim.scope.dataset,
            model=claim.scope.model,
            method=method.method,
            options=method.options,
            metric=claim.metric,
            eps=claim.scope.eps,
            checkpoint=claim.scope.checkpoint,
        )
        assert of is not None
        assert (claim.expected, of.kind) == (of.value, "paper")


def test_options_that_a_claim_leaves_open_are_at_their_defaults(tmp_path):
    method = read(tmp_path, file()).methods["V1"]
    assert method.options.startswith("variant=v1;beta=3;memory_beta=2;weight=A;alignment=as_seen")


def test_a_claim_may_have_a_scope_of_its_own(tmp_path):
    own = {**VALUE, "scope": {"checkpoint": "last", "dataset": "mine"}}
    (claim,) = read(tmp_path, file(claims=[own])).claims
    scope = claim.scope
    assert (scope.dataset, scope.model, scope.checkpoint) == ("mine", "resnet18", "last")


@pytest.mark.parametrize("metric", ["clean", "harmonic_mean", "worst_case", "pgd50", "strong"])
def test_metrics_are_known_attacks_and_those_of_the_folder(tmp_path, metric):
    assert read(tmp_path, file(claims=[{**VALUE, "metric": metric}])).claims[0].metric == metric


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"metric": "autoatack"}, "claims.one.metric: 'autoatack' is unknown; did you mean 'autoa"),
        ({"method": "V2"}, "claims.one: the method 'V2' is not among this file's methods; did you"),
        ({"rule": "valeu"}, "claims.one.rule: 'valeu' is unknown; did you mean 'value'?"),
        ({"kind": "numbr"}, "claims.one.kind: 'numbr' is unknown; did you mean 'number'?"),
        ({"margn": 1}, "claims.one: unknown key 'margn'; did you mean 'margin'?"),
        ({"margin": 0}, "claims.one.margin: expected a number above 0, got 0"),
        ({"expected": "much"}, "claims.one.expected: expected a number, got 'much'"),
        ({"above": 3}, "claims.one.expected: a claim has one of expected (with margin), above and"),
        ({"scope": {"data": "x"}}, "claims.one.scope: unknown key 'data'; did you mean 'dataset'?"),
        ({"against": ["T"]}, "claims.one: unknown key 'against'"),
    ],
)
def test_a_wrong_key_of_a_claim_is_named_with_the_nearest(tmp_path, changes, sentence):
    message = refusal(tmp_path, file(claims=[{**VALUE, **changes}]))
    assert message.startswith(f"{tmp_path / 'claims.yaml'}: {sentence}")


@pytest.mark.parametrize("key", ["id", "text", "source", "kind", "rule", "method", "metric"])
def test_a_missing_key_is_named(tmp_path, key):
    claim = {name: value for name, value in VALUE.items() if name != key}
    assert f"the key {key!r} is missing" in refusal(tmp_path, file(claims=[claim]))


@pytest.mark.parametrize(
    ("claim", "sentence"),
    [
        ({**VALUE, "margin": None}, "margin: it belongs to expected"),
        ({**ORDER, "above": None}, "a claim has one of expected (with margin), above and below"),
        ({**ORDER, "against": []}, "against: name one method, or with `above` one or more"),
        ({**ORDER, "above": None, "below": 0, "against": ["T", "V1"]}, "against: name one method"),
        ({**ORDER, "against": "T"}, "against: expected a list"),
        ({**ORDER, "against": ["U"]}, "the method 'U' is not among this file's methods"),
        (
            {**ORDER, "rule": "frontier", "metric": "clean"},
            "metric: the front is of clean accuracy",
        ),
        (
            {key: ORDER[key] for key in ("id", "text", "source", "kind", "method", "above")}
            | {"rule": "cost", "against": "T"},
            "claims.one.above: a ratio of times is above 0",
        ),
        ({**ORDER, "rule": "frontier", "against": []}, "against: name the methods of the front"),
    ],
)
def test_a_claim_that_no_rule_can_decide_is_refused(tmp_path, claim, sentence):
    assert sentence in refusal(tmp_path, file(claims=[claim]))


def test_a_range_is_of_two_methods_at_least(tmp_path):
    claim = {key: VALUE[key] for key in ("id", "text", "source", "kind", "metric")}
    claim |= {"rule": "range", "methods": ["V1"], "below": 1}
    assert "methods: name two or more" in refusal(tmp_path, file(claims=[claim]))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"methods": {"V1": {"method": "memlos"}}}, "methods.V1.method: 'memlos' is unknown; did"),
        ({"methods": {"V1": {"variant": "v1"}}}, "methods.V1: the key 'method' is missing"),
        (
            {"methods": {"T": {"method": "trades", "bta": 6}}},
            "methods.T: the method 'trades' has no",
        ),
        ({"methods": None}, "methods: expected keys and values, got None"),
        ({"claims": []}, "claims: expected a list of claims, got []"),
        ({"claims": [VALUE, VALUE]}, "claims.one: two claims have this id"),
        ({"claims": ["V1 is good"]}, "claims[0]: expected keys and values, got 'V1 is good'"),
        ({"claim": []}, "unknown key 'claim'; did you mean 'claims'?"),
        ({"scope": []}, "3 problems 1. claims.one.scope: the key 'dataset' is missing"),
        (
            {"scope": {"dataset": "cifar10", "eps": "8/255"}},
            "claims.one.scope: the key 'model' is missing",
        ),
        ({"scope": "cifar10"}, "scope: expected keys and values, got 'cifar10'"),
    ],
)
def test_a_wrong_key_of_the_file_is_named(tmp_path, changes, sentence):
    assert f"{tmp_path / 'claims.yaml'}: {sentence}" in refusal(tmp_path, file(**changes))


@pytest.mark.parametrize("content", ["a: [1\nb: {", "a: b: c"])
def test_a_file_that_is_not_yaml_is_named(tmp_path, content):
    assert refusal(tmp_path, content).startswith(f"--claims {tmp_path / 'claims.yaml'}: not YAML")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BenchError, match=r"--claims .*none\.yaml: cannot be read"):
        read_claims(tmp_path / "none.yaml", ())


def test_an_empty_file_is_refused(tmp_path):
    assert "the file: expected keys and values" in refusal(tmp_path, "")


def test_the_examples_of_the_documentation_can_be_read(tmp_path):
    page = (ROOT / "docs" / "claims.md").read_text()
    examples = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert [read(tmp_path, one).claims[0].rule for one in examples] == ["value", "difference"]


@pytest.mark.parametrize(("page", "table"), [("statistics", STATISTICS), ("claims", CLAIMS)])
def test_every_column_is_documented(page, table):
    text = (ROOT / "docs" / f"{page}.md").read_text()
    columns = text.partition("\n| column | meaning |\n")[2].partition("\n\n")[0]
    named = [
        name for cell in re.findall(r"^\| `(.*?)` \|", columns, re.M) for name in cell.split(", ")
    ]
    assert named == list(table.columns)


@dataclass(frozen=True, kw_only=True)
class Gap(RuledClaim):
    """How many points more `method` has under `weak` than under `strong`."""

    method: str
    weak: str
    strong: str

    @property
    def attacks(self) -> tuple[str, ...]:
        return (self.weak, self.strong)

    @property
    def measures(self) -> str:
        return f"{self.weak} - {self.strong}"

    def measured(self, evidence):
        weak, strong = (evidence.quantity(attack, self.method) for attack in self.attacks)
        return self.of_one(evidence.estimate(difference(weak, strong)))


def test_a_rule_without_a_metric_says_what_it_is_about(tmp_path, monkeypatch):
    monkeypatch.setitem(RULES, "gap", Gap)
    claim = {key: value for key, value in ORDER.items() if key not in ("metric", "against")}
    claim |= {"rule": "gap", "weak": "pgd20", "strong": "autoattack"}
    (known,) = read(tmp_path, file(claims=[claim])).claims
    assert known.measures == "pgd20 - autoattack"
    assert known.design is None
    said = refusal(tmp_path, file(claims=[{**claim, "strong": "autoatack"}]))
    assert "claims.one.strong: 'autoatack' is unknown" in said
