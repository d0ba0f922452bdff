"""Work in processes: in order, and over when the block is."""

import os

import pytest

from skincnn import workers


def test_how_many():
    assert workers.count(3, 100) == 3
    assert workers.count(8, 2) == 2
    assert workers.count(None, 1000) == min(os.cpu_count(), 61)
    assert workers.count(None, 0) == 1


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_order(jobs):
    with workers.results(abs, list(range(-20, 0)), jobs, chunk=3) as done:
        assert list(done) == list(range(20, 0, -1))


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_a_task_raises_is_raised_here(jobs):
    with pytest.raises(ValueError, match="invalid literal"), workers.results(int, ["x"], jobs) as d:
        list(d)
