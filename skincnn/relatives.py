"""Photographs that belong together, over however many steps: of one lesion, patient or copy."""

from collections.abc import Iterable, Sequence

import pandas as pd

COLUMNS = ("image_id", "lesion_id", "patient_id", "cluster")  # what joins photographs in a group


def groups(
    index: pd.DataFrame,
    columns: Sequence[str] = COLUMNS,
    pairs: Iterable[tuple[int, int]] = (),
) -> list[str]:
    """A name for each connected piece of rows that share a value in any of the columns.

    Sharing reaches on: two photographs of one lesion, one of which has a copy elsewhere, are one
    piece of three. An empty or missing value is shared with nobody; a column the index does not
    have joins nothing. `pairs` of row numbers belong together too.

    Returns:
        (N) names: the `file` of the piece's first row.
    """
    edges = list(pairs)
    for column in columns:
        first = {}
        for i, value in enumerate(index.get(column, [])):
            if not pd.isna(value) and value != "":
                edges.append((first.setdefault(value, i), i))
    files = list(index["file"])
    return [files[i] for i in connected(len(index), edges)]


def connected(n: int, edges: Iterable[tuple[int, int]]) -> list[int]:
    """For each of `n` things the first of those that edges connect it with, over others or not."""
    parent = list(range(n))

    def find_root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for a, b in edges:
        a, b = find_root(a), find_root(b)
        parent[max(a, b)] = min(a, b)
    return [find_root(i) for i in range(n)]
