"""One set of versions: environment.yml, requirements.lock and pyproject.toml agree."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
# AutoAttack alone differs: conda takes it from git, the lock takes the same attacks from PyPI.
FROM_GIT, FROM_PYPI = "autoattack", "pyautoattack"
COMMIT = re.compile(r"git\+https://github\.com/fra31/auto-attack@[0-9a-f]{40}")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
PYTHONS = ("3.11", "3.12", "3.13")


def entries() -> list[tuple[Requirement, list[str]]]:
    """Return every requirement of the lock with what follows it on its logical line."""
    text = (ROOT / "requirements.lock").read_text().replace("\\\n", " ")
    found = []
    for line in filter(None, map(str.strip, text.splitlines())):
        requirement, *options = re.split(r"\s+(?=--)", line)
        found.append((Requirement(requirement), options))
    return found


def locked(python: str, platform: str = "linux") -> dict[str, str]:
    """Return the versions that a machine with that Python installs, by canonical name."""
    system = {"linux": "Linux", "darwin": "Darwin"}[platform]
    machine = {"linux": "x86_64", "darwin": "arm64"}[platform]
    environment = {
        **default_environment(),
        "python_version": python,
        "python_full_version": f"{python}.9",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "sys_platform": platform,
        "platform_system": system,
        "platform_machine": machine,
        "os_name": "posix",
    }
    versions = defaultdict(set)
    for requirement, _ in entries():
        if requirement.marker is None or requirement.marker.evaluate(environment):
            (pin,) = requirement.specifier
            versions[canonicalize_name(requirement.name)].add(pin.version)
    assert all(len(found) == 1 for found in versions.values()), versions
    return {name: found.pop() for name, found in versions.items()}


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def conda():
    return yaml.safe_load((ROOT / "environment.yml").read_text())


@pytest.fixture(scope="module")
def pip(conda):
    (pins,) = (part["pip"] for part in conda["dependencies"] if isinstance(part, dict))
    requirements = [Requirement(pin) for pin in pins]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def named(texts):
    return {canonicalize_name(Requirement(text).name): Requirement(text) for text in texts}


@pytest.fixture(scope="module")
def dependencies(project):
    """What the project depends on with all of its extras, by canonical name."""
    optional = project["project"]["optional-dependencies"].values()
    parts = [project["project"]["dependencies"], *optional]
    found = named(requirement for part in parts for requirement in part)
    del found[project["project"]["name"]]  # by which one extra takes in others
    return found


def test_conda_has_the_versions_of_the_lock(pip):
    versions = locked("3.12")
    assert set(pip) - set(versions) == {FROM_GIT}
    pinned = {name: str(pip[name].specifier) for name in pip if name != FROM_GIT}
    assert pinned == {name: f"=={versions[name]}" for name in pinned}


def test_autoattack_is_from_git_at_a_commit_in_conda_and_from_pypi_in_the_lock(pip):
    assert COMMIT.fullmatch(pip[FROM_GIT].url)
    assert [name for name, requirement in pip.items() if requirement.url] == [FROM_GIT]
    assert FROM_PYPI in locked("3.12")


@pytest.mark.slow
def test_pip_finds_one_set_of_packages_for_conda(pip):
    """All but what is in git, with the Python that conda installs; nothing is installed."""
    pins = "\n".join(str(pin) for pin in pip.values() if not pin.url)
    uv = Path(sys.executable).with_name("uv")
    command = [uv, "pip", "compile", "-q", "--python-version", "3.12", "--no-header", "-"]
    done = subprocess.run(command, input=pins, capture_output=True, text=True, check=False)
    if re.search("dns error|failed to fetch|error sending request", done.stderr, re.IGNORECASE):
        pytest.skip("PyPI cannot be reached")
    assert done.returncode == 0, done.stderr
    found = {
        canonicalize_name(Requirement(line).name)
        for line in done.stdout.splitlines()
        if "==" in line
    }
    assert found >= set(pip) - {FROM_GIT}


def test_condas_own_packages_are_pinned_and_its_python_is_one_that_the_suite_supports(conda):
    pins = [part for part in conda["dependencies"] if isinstance(part, str)]
    assert all(re.fullmatch(r"[\w-]+=[\d.]+", pin) for pin in pins)
    (python,) = (pin.partition("=")[2] for pin in pins if pin.startswith("python="))
    assert python.startswith("3.12.")


def test_the_extra_all_has_every_other(project):
    extras = dict(project["project"]["optional-dependencies"])
    (everything,) = map(Requirement, extras.pop("all"))
    assert everything.name == project["project"]["name"]
    assert everything.extras == set(extras)


def test_every_dependency_of_the_project_is_in_conda_and_satisfied_there(dependencies, pip):
    for name, requirement in dependencies.items():
        (pin,) = pip[name].specifier
        assert requirement.specifier.contains(pin.version), name


def test_every_package_that_the_suite_imports_is_a_dependency_of_the_project(dependencies):
    imported = set[str]()
    for path in (ROOT / "bench").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    known = packages_distributions()
    others = imported - sys.stdlib_module_names - {"bench"}
    assert {"torch", "numpy"} <= others
    for name in others:
        assert {canonicalize_name(found) for found in known[name]} & set(dependencies), name


@pytest.mark.parametrize("platform", ["linux", "darwin"])
@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_satisfies_the_project_under_every_python(project, dependencies, python, platform):
    wanted = {**dependencies, **named(project["dependency-groups"]["dev"])}
    versions = locked(python, platform)
    for name, requirement in wanted.items():
        assert requirement.specifier.contains(versions[name]), name


def test_every_requirement_of_the_lock_is_one_version_with_hashes_and_no_address():
    for requirement, options in entries():
        assert requirement.url is None
        assert [pin.operator for pin in requirement.specifier] == ["=="], requirement
        assert options, f"{requirement} has no hash"
        assert all(HASH.fullmatch(option) for option in options), requirement
    assert "://" not in (ROOT / "requirements.lock").read_text()


def test_the_makefile_offers_the_supported_pythons_and_no_other(project):
    text = (ROOT / "Makefile").read_text()
    assert set(re.findall(r"\bpython(3\.\d+)\b", text)) == set(PYTHONS)
    assert project["project"]["requires-python"] == f">={PYTHONS[0]}"


def test_the_citation_has_the_version_of_the_package(project):
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == project["project"]["version"]
