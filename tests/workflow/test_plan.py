"""What a dry run plans, by the real Snakemake in a process without torch."""

from __future__ import annotations

import json
import re

import pytest
from project import ROOT, copy_project, planned, snakemake

from bench.runtime.provenance import reference_digest

ANALYSIS = dict.fromkeys(
    ("data", "summary", "statistics", "claims", "tables", "figures", "report_page", "all"), 1
)
CONFIGS = {
    "config/paper.yaml": {
        "train": 60,
        "evaluate": 60,
        "diagnose": 12,
        "transfer": 1,
        "reference": 1,
        "default_summary": 1,
    },
    "config/digits.yaml": {"train": 22, "evaluate": 22, "diagnose": 11, "transfer": 1},
    "config/cifar10_small.yaml": {"train": 5, "evaluate": 5},
    "config/ablations_digits.yaml": {"train": 32, "evaluate": 32, "ablations": 1},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return copy_project(tmp_path_factory.mktemp("plan") / "project")


@pytest.fixture
def no_torch(tmp_path):
    """A folder whose modules make an import of a heavy package fail."""
    for name in ("torch", "torchvision", "robustbench", "matplotlib"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('planning must not import it')\n")
    return tmp_path


@pytest.mark.parametrize("config", CONFIGS)
def test_plan_has_every_method_and_seed(project, no_torch, config):
    counts = planned(project, "--cores", "8", "--configfile", config, path=no_torch)
    total = counts.pop("total")
    assert counts == ANALYSIS | CONFIGS[config]
    assert total == sum(counts.values())


def test_a_recipe_that_the_images_are_too_few_for_is_refused(project, no_torch):
    averaged = "training={weight_averaging: {decay: 0.99999}}"
    arguments = ("-n", "--configfile", "config/digits.yaml", "--config", averaged)
    done = snakemake(project, *arguments, path=no_torch)
    assert done.returncode != 0
    assert "training.weight_averaging.decay: " in done.stdout + done.stderr


def test_other_seeds_and_no_diagnostics_are_a_flag_away(project, no_torch):
    flags = ("--config", "seeds=[7]", "diagnostics=null")
    arguments = ("--configfile", "config/digits.yaml", *flags)
    counts = planned(project, "--cores", "2", *arguments, path=no_torch)
    assert counts["train"] == counts["evaluate"] == 11
    assert not {"diagnose", "transfer"} & set(counts)


def test_the_full_demo_diagnoses_every_seed(project, no_torch):
    makefile = (ROOT / "Makefile").read_text()
    (given,) = re.findall(r"--config '(diagnostics=.*)'", makefile)
    arguments = ("--configfile", "config/digits.yaml", "--config", given)
    counts = planned(project, "--cores", "2", *arguments, path=no_torch)
    assert (counts["diagnose"], counts["transfer"]) == (22, 2)
    assert counts["train"] == counts["evaluate"] == 22


def test_a_single_run_can_be_asked_for(project, no_torch):
    target = "results/digits/models/mart/seed1/train.json"
    arguments = ("--cores", "2", "--configfile", "config/digits.yaml", "--", target)
    assert planned(project, *arguments, path=no_torch) == {"data": 1, "train": 1, "total": 2}


def stopped(project, no_torch, *arguments):
    """Return what a plan says that ends without a traceback."""
    done = snakemake(project, "-n", *arguments, path=no_torch)
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Traceback" not in text
    return text


def test_bad_keys_stop_the_plan(project, no_torch):
    flags = ("--config", "threat={eps: 8}", "epochs=3", "diagnostics={imgaes: 3}")
    text = stopped(project, no_torch, "--configfile", "config/digits.yaml", *flags)
    for key in ("threat.eps: ", "'epochs'", "diagnostics: unknown key 'imgaes'"):
        assert key in text


def test_a_key_given_twice_stops_the_plan(project, no_torch, tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text((ROOT / "config/digits.yaml").read_text() + "\nseeds: [4]\n")
    text = stopped(project, no_torch, "--configfile", str(path))
    assert f"--configfile {path}: line " in text
    assert "seeds" in text


def test_a_method_file_of_another_name_stops_the_plan(tmp_path, no_torch):
    project = copy_project(tmp_path / "project")
    (project / "bench/methods/trades.py").rename(project / "bench/methods/mine.py")
    text = stopped(project, no_torch, "--configfile", "config/digits.yaml")
    assert "methods/mine.py: it registers 'trades'" in text


def test_the_models_of_the_configuration_are_evaluated_and_summarized(project):
    names = ["Rice2020Overfitting", "Wong2020Fast"]
    arguments = ("--configfile", "config/digits.yaml", "--config")
    done = snakemake(project, "-n", "-p", *arguments, f"reference={{models: [{', '.join(names)}]}}")
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert sorted(re.findall(r"bench reference --name (\w+)", text)) == names
    (told,) = re.findall(r"bench summarize --spec '(.*?)' --folder", text)
    assert json.loads(told)["reference"]["models"] == names
    assert "--reference config/robustbench.csv" in text


def test_a_model_is_evaluated_again_when_the_code_changes_that_its_record_names(tmp_path):
    project = copy_project(tmp_path / "project")
    with (project / "Snakefile").open("a") as file:
        file.write('\nprint("code of reference:", rules.reference.params.code)\n')
    done = snakemake(project, "-n", "--configfile", "config/digits.yaml")
    text = done.stdout + done.stderr
    assert re.findall(r"code of reference: (\w+)", text) == [reference_digest()], text


def test_an_attack_from_other_networks_needs_those_of_the_seed_and_no_other_attack_does(project):
    target = "results/minimal/models/trades/seed0/evaluation.json"
    for attack, trainings in (("apgd_eot", 1), ("transfer_pgd", 2)):
        asked = f"evaluation={{attacks: {{{attack}: {{}}}}}}"
        arguments = ("--cores", "1", "--configfile", "config/minimal.yaml", "--config", asked)
        counts = planned(project, target, *arguments)
        assert (counts["train"], counts["evaluate"]) == (trainings, 1)
