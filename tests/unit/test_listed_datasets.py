from __future__ import annotations

import pytest

from bench.data.published import robustbench_name


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("cifar10", "cifar10"),
        ("cifar10-jpeg", "cifar10"),
        ("cifar100", "cifar100"),
        ("cifar100-jpeg", "cifar100"),
        *((other, None) for other in ("cifar10.1", "cifar10c", "cifar100_coarse", "my-cifar10")),
    ],
)
def test_only_a_listed_name_or_its_variant_behind_a_hyphen_is_robustbenchs(name, listed):
    assert robustbench_name(name) == listed
