"""One line of the table that `bench.py` gathers from every benchmark."""

import statistics
from collections.abc import Sequence


def row(what: str, ours: str, other: str = "", ratios: Sequence[float] = ()) -> None:
    """Print a row: what was measured, ours, what it is compared with, the median ratio and range.

    Args:
        ratios: ours to the other's, one a round; none where nothing is compared.
    """
    told = ""
    if ratios:
        middle, low, high = (f"{f(ratios):.3g}" for f in (statistics.median, min, max))
        told = f"{middle} ({low}–{high})"
    print(f"| {what} | {ours} | {other} | {told} |", flush=True)
