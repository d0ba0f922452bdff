"""The plan of the sample set: the promised counts, and problems at every size."""

import pytest

from skincnn import sample_plan


@pytest.mark.parametrize("n", [sample_plan.MINIMUM, 250, 600, 2357])
def test_counts_keep_the_real_proportions(n):
    given = sample_plan.counts(n)
    assert sum(given.values()) == n
    for (split, label), count in given.items():
        assert count >= sample_plan.LEAST[split]
        real = sample_plan.PUBLISHED[label][split == "Test"]
        if n == 2357:
            assert abs(count - real) <= 2  # the floor of 8 and 3 moves nobody far
        elif n == 600:
            assert count == pytest.approx(real * n / 2357, abs=3)


@pytest.mark.parametrize("n", [sample_plan.MINIMUM, 600])
def test_every_plan_works_out(n):
    for seed in range(20):
        photos, planted = sample_plan.plan(n, seed)
        assert len({photo.file for photo in photos}) == n
        assert {row[0] for row in planted} == set(sample_plan.PLANTED)
        for kind in ("identical", "two_names"):  # some stand on both sides of the split
            assert any(row[0] == kind and row[2].startswith("Test/") for row in planted)
        two_names = [row for row in planted if row[0] == "two_names"]
        for _, file, other, _ in two_names:
            assert file.split("/")[1] != other.split("/")[1]


def test_the_referee_knows_most_diagnoses():
    photos, planted = sample_plan.plan(600, 2357)
    known = {row[0]: row[3] for row in sample_plan.metadata(photos, 2357)}
    notes = [row[3] for row in planted if row[0] == "two_names"]
    assert "no referee" in notes and len(set(notes)) > 2
    assert 0 < sum(diagnosis == "" for diagnosis in known.values()) <= 2 * notes.count("no referee")
