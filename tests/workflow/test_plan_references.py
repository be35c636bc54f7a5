"""How a plan hands RobustBench's models from the configuration to the job and to the summary."""

from __future__ import annotations

import json
import re

import pytest
from project import copy_project, snakemake

from bench.runtime.provenance import reference_digest


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return copy_project(tmp_path_factory.mktemp("references") / "project")


@pytest.mark.parametrize("names", [[], ["Rice2020Overfitting", "Wong2020Fast"]])
def test_the_models_of_the_configuration_are_evaluated_and_summarized(project, names):
    setting = f"reference={{models: [{', '.join(names)}]}}"
    arguments = ("--cores", "2", "--configfile", "config/digits.yaml", "--config", setting)
    done = snakemake(project, "-n", "-p", *arguments)
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert sorted(re.findall(r"bench reference --name (\w+)", text)) == names
    (told,) = re.findall(r"bench summarize --spec '(.*?)' --folder", text)
    assert json.loads(told)["reference"]["models"] == names
    assert "--reference config/robustbench.csv" in text


def test_a_model_is_evaluated_again_when_the_code_changes_that_its_record_names(project):
    with (project / "Snakefile").open("a") as file:
        file.write('\nprint("code of reference:", rules.reference.params.code)\n')
    done = snakemake(project, "-n", "--cores", "1", "--configfile", "config/digits.yaml")
    text = done.stdout + done.stderr
    assert re.findall(r"code of reference: (\w+)", text) == [reference_digest()], text
