"""What stands beside our points: reported numbers, RobustBench's models, histories."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.analysis.figures.frontier import short
from bench.analysis.figures.points import Curve, Other, read_curves
from bench.analysis.figures.published import read_reference, read_reported
from bench.runtime.errors import BenchError

REPORTED = """\
dataset,model,method,spec_method,options,metric,value,eps,n,checkpoint_rule,source,kind
cifar10,resnet18,memloss_v1,,,clean,84.52,8/255,,not stated,its paper,paper
cifar10,resnet18,memloss_v1,,,autoattack,48.87,8/255,,not stated,its paper,paper
cifar10,resnet18,trades,trades,,clean,82.41,,,best,a survey,secondary
cifar10,resnet18,trades,trades,,autoattack,48.37,,,best,a survey,secondary
cifar10,resnet18,trades,trades,,clean,81.00,8/255,,not stated,a log,secondary
cifar10,resnet18,trades,trades,,pgd20,53.00,8/255,,not stated,a log,secondary
cifar10,resnet18,mart,mart,,clean,78.00,8/255,,last,a log,secondary
cifar10,resnet18,mart,mart,,autoattack,46.00,8/255,,last,a log,secondary
cifar10,wideresnet34_10,trades,trades,,clean,84.92,0.031,,best,a card,secondary
cifar10,wideresnet34_10,trades,trades,,autoattack,53.08,0.031,,best,a card,secondary
cifar100,resnet18,trades,trades,,clean,57.00,8/255,,best,a survey,secondary
cifar100,resnet18,trades,trades,,autoattack,24.00,8/255,,best,a survey,secondary
"""
REFERENCE = """\
dataset,name,architecture,clean,autoattack,extra_data,generated_data,source,eps
cifar10,Rade2021Helper_R18_extra,PreActResNet-18,89.02,57.67,true,false,card,8/255
cifar10,Sehwag2021Proxy_R18,ResNet-18,84.59,55.54,false,true,card,8/255
cifar10,Wong2020Fast,PreActResNet-18,83.34,43.21,false,false,card,0.031
cifar10,Far,ResNet-18,80,60,false,false,card,4/255
cifar10,Engstrom2019Robustness,ResNet-50,87.03,49.25,false,false,card,8/255
cifar10,Deep,ResNet-118,87.03,49.25,false,false,card,8/255
cifar100,Rice2020Overfitting,PreActResNet-18,53.83,18.95,false,false,card,8/255
"""
HISTORY = "epoch,train_robust,validation_clean,validation_pgd\n"


@pytest.fixture
def reported(tmp_path: Path) -> Path:
    path = tmp_path / "reported.csv"
    path.write_text(REPORTED, encoding="utf-8")
    return path


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    path = tmp_path / "robustbench.csv"
    path.write_text(REFERENCE, encoding="utf-8")
    return path


def history(folder: Path, *lines: str) -> Path:
    run = folder / "models" / "trades" / "seed0"
    run.mkdir(parents=True)
    (run / "history.csv").write_text(HISTORY + "\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_reported_numbers_are_of_the_same_dataset_model_and_checkpoint(reported: Path) -> None:
    found = read_reported(reported, dataset="cifar10", model="resnet18", attack="autoattack")
    assert found == [
        Other("memloss_v1", 84.52, 48.87, "paper", pytest.approx(8 / 255)),
        Other("trades", 82.41, 48.37, "secondary", None, "trades", "beta=6"),
    ]


def test_reported_numbers_follow_the_attack(reported: Path) -> None:
    found = read_reported(reported, dataset="cifar10", model="resnet18", attack="pgd20")
    assert [(other.name, other.robust) for other in found] == [("trades", 53.0)]


def test_a_dataset_of_which_no_paper_reports(reported: Path, reference: Path) -> None:
    assert read_reported(reported, dataset="digits", model="resnet18", attack="autoattack") == []
    assert read_reference(reference, dataset="digits", radii=[8 / 255]) == []


def test_robustbench_models_have_18_layers_and_their_data_is_known(reference: Path) -> None:
    found = read_reference(reference, dataset="cifar10", radii=[8 / 255])
    assert [(short(other.name), other.kind) for other in found] == [
        ("Rade 2021", "extra"),
        ("Sehwag 2021", "generated"),
        ("Wong 2020", "plain"),
    ]


def test_a_missing_reference_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"robustbench\.csv is missing"):
        read_reference(tmp_path / "robustbench.csv", dataset="cifar10", radii=[8 / 255])


def test_a_name_without_a_year_stays_whole() -> None:
    assert short("Standard_R18") == "Standard_R18"
    assert short("Moosavi-Dezfooli2019Robustness") == "Moosavi-Dezfooli 2019"


def test_best_is_the_first_epoch_of_the_highest_pgd_accuracy() -> None:
    assert Curve((1, 2, 3, 4), (60, 70, 70, 90), (30.0, 40.0, 40.0, 20.0)).best == (2, 40.0)


def test_clean_accuracy_breaks_a_tie() -> None:
    assert Curve((1, 2), (60.0, 70.0), (40.0, 40.0)).best == (2, 40.0)


def test_best_of_a_method_that_trains_against_no_attack_is_the_cleanest(tmp_path: Path) -> None:
    folder = history(tmp_path, "1,,60,3.0", "2,,90,0.0", "3,,80,1.0")
    (curve,) = read_curves(folder, [("trades", 0)])["trades"]
    assert curve.best == (2, 90.0)


def test_epochs_without_pgd_are_left_open(tmp_path: Path) -> None:
    folder = history(tmp_path, "1,50,60,30.0", "2,50,70,")
    (curve,) = read_curves(folder, [("trades", 0)])["trades"]
    assert (curve.robust, curve.best) == ((30.0, None), (1, 30.0))


def test_a_missing_history_names_the_file_and_the_run(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"history\.csv is missing; train mart with seed 1 again"):
        read_curves(tmp_path, [("mart", 1)])
