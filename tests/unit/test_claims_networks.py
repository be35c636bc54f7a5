"""A claim is about one network, and an experiment may hold several."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest

from bench.analysis.claims.claim import Scope, Trained
from bench.analysis.claims.evidence import Evidence, NotRunError

TRADES = Trained(method="trades", options="beta=6", given="beta 6")


def evidence(external=(), **models):
    """Return evidence of TRADES under these labels, each on its network; some of others."""
    rows = [
        {"method": label, "base_method": "trades", "options": "beta=6", "model": model}
        | {"checkpoint": "best", "flags": "", "seed": 3 if label in external else 0}
        | {"origin": "external" if label in external else "trained", "attack": "clean"}
        for label, model in models.items()
    ]
    scope = Scope(dataset="cifar10", model="resnet18", eps=8 / 255)
    results = SimpleNamespace(ours=pd.DataFrame(rows))
    return Evidence(results, {}, {"TRADES": TRADES}, scope)


def test_the_run_on_the_network_of_the_claim_is_meant():
    assert evidence(trades_wide="wrn_34_10", trades="resnet18").label("TRADES") == "trades"


def test_on_another_network_alone_it_is_taken():
    assert evidence(trades_wide="wrn_34_10").label("TRADES") == "trades_wide"


def test_methods_of_different_networks_are_not_compared():
    found = evidence(trades="resnet18", wide="wrn_34_10")
    found.check_network(["trades"])
    with pytest.raises(NotRunError, match=r"trades of resnet18 and wide of wrn_34_10"):
        found.check_network(["trades", "wide"])


@pytest.mark.parametrize("model", ["resnet18", "wrn_34_10"])
def test_two_runs_on_one_network_are_told(model):
    with pytest.raises(NotRunError, match="one, two are all trades"):
        evidence(one=model, two=model).label("TRADES")


def test_what_was_trained_here_goes_before_weights_of_others():
    found = evidence(["theirs"], theirs="resnet18", ours="resnet18")
    assert found.label("TRADES") == "ours"
    found.check_seeds(["ours"], ["clean"])  # seed 3 is theirs alone
    assert evidence(["theirs"], theirs="resnet18").label("TRADES") == "theirs"
