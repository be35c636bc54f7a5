from __future__ import annotations

import pytest
from project import job_counts

TABLE = """Building DAG of jobs...
Job stats:
job        count
-------  -------
train          2
all            1
total          3

"""


def test_jobs_are_counted_by_rule():
    assert job_counts(TABLE) == {"train": 2, "all": 1, "total": 3}
    assert job_counts("Nothing to be done (all requested files are present).") == {}


@pytest.mark.parametrize(
    "text",
    ["", "Building DAG of jobs...", TABLE.replace("Job stats", "Jobs"), TABLE.replace("2", "two")],
)
def test_output_without_a_whole_table_is_refused(text):
    with pytest.raises(AssertionError, match="no table of jobs"):
        job_counts(text)
