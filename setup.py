"""Lets a wheel carry, as bench/_suite, what lies beside `bench` in the checkout."""

from setuptools import find_packages, setup

setup(
    script_name="setup.py",  # no module of bench/_suite: the builder names itself
    packages=[*find_packages(include=["bench*"]), "bench._suite"],
    package_dir={"bench._suite": "."},
)
