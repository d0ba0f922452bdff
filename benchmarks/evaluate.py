"""Seconds for every figure of `evaluate.metrics` with intervals: 33,000 rows, 9 classes.

Beside it the same figures computed replicate by replicate with scikit-learn, on a few replicates,
scaled up to as many. Both draw whole groups; the rows are random.

    python benchmarks/evaluate.py --rows 33000 --replicates 1000 --rounds 3

With `--coverage`, instead, how often the 95 % intervals hold the figure of the population they were
drawn from: 500 lesions of one or two photographs, 3 classes, so many times over.

    python benchmarks/evaluate.py --coverage 1000 --replicates 200
"""

import argparse
import resource
import statistics
import time

import numpy as np
import pandas as pd
from rows import row
from sklearn import metrics as sk

from skincnn import evaluate, labels, predictions, scores

NAMES = list(labels.ISIC9)


def table(rows: int, seed: int = 0) -> pd.DataFrame:
    """Random predictions, better than chance, a quarter of them in groups of two or more."""
    rng = np.random.default_rng(seed)
    true = rng.integers(len(NAMES), size=rows)
    logits = rng.normal(size=(rows, len(NAMES)))
    logits[np.arange(rows), true] += 1
    facts = pd.DataFrame(
        {
            "file": [f"{i}.jpg" for i in range(rows)],
            "group": [f"g{i}" for i in rng.integers(2 * rows, size=rows)],
            "label": np.array(NAMES)[true],
        }
    )
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return predictions.frame(facts, softmax, NAMES, seed=0)


def ours(frame: pd.DataFrame, replicates: int) -> None:
    evaluate.metrics(frame, replicates)


def plain(frame: pd.DataFrame, replicates: int) -> None:
    """What one would write: draw groups, take their rows, ask scikit-learn for each figure."""
    true, predicted, p = predictions.answers(frame)
    group = predictions.groups(frame)
    order = np.argsort(group, kind="stable")
    ends = np.cumsum(np.bincount(group))
    members = np.split(order, ends[:-1])
    rng = np.random.default_rng(0)
    for _ in range(replicates):
        rows = np.concatenate([members[g] for g in rng.integers(len(ends), size=len(ends))])
        t, a, q = true[rows], predicted[rows], p[rows]
        sk.accuracy_score(t, a)
        sk.balanced_accuracy_score(t, a)
        sk.precision_recall_fscore_support(t, a)
        sk.multilabel_confusion_matrix(t, a)  # specificity
        sk.log_loss(t, q / q.sum(axis=1, keepdims=True))
        right = t[:, None] == np.arange(len(NAMES))
        np.mean(((q - right) ** 2).sum(axis=1))  # Brier; the calibration error is left out
        sk.roc_auc_score(right, q, average=None)
        sk.average_precision_score(right, q, average=None)
        melanoma = NAMES.index("melanoma")
        sk.roc_curve(right[:, melanoma], q[:, melanoma])


def lesions(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Predictions of n lesions whose photographs tend to agree."""
    group = np.repeat(np.arange(n), rng.integers(1, 3, n))
    names = np.array(["melanoma", "nevus", "wart"])
    label = rng.choice(3, n, p=[0.15, 0.6, 0.25])
    logits = (rng.normal(size=(n, 3)) + np.eye(3)[label])[group]
    powers = np.exp(logits + rng.normal(size=logits.shape) / 2)
    columns = [labels.column(name) for name in names]
    table = pd.DataFrame(powers / powers.sum(axis=1, keepdims=True), columns=columns)
    return table.assign(file="", seed=0, group=group.astype(str), label=names[label][group])


def coverage(repetitions: int, replicates: int) -> None:
    rng = np.random.default_rng(0)
    truth = scores.Scores(lesions(500_000, rng), "melanoma").figures()
    names = [name for name, value in truth.items() if value.ndim == 1]
    held = dict.fromkeys(names, 0)
    for seed in range(repetitions):
        one = scores.Scores(lesions(500, rng), "melanoma")
        samples, values = scores.bootstrap([one], replicates, seed)[0], one.figures()
        for name in names:
            found = scores.figure(
                values[name][0], samples[name], reflected=name in scores.REFLECTED
            )
            held[name] += found["low"] <= truth[name][0] <= found["high"]
    for name, times in held.items():
        print(f"{name:30} {times / repetitions:6.1%} of intervals hold {truth[name][0]:.4f}")


def seconds(work, *arguments) -> float:
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=33_000)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plain", type=int, default=5, help="replicates of the loop, each round")
    parser.add_argument("--coverage", type=int, help="try the intervals so often instead")
    arguments = parser.parse_args()
    if arguments.coverage:
        coverage(arguments.coverage, arguments.replicates)
        return
    frame = table(arguments.rows)
    size = f"{arguments.rows:,} rows × {len(NAMES)} classes × {arguments.replicates:,} replicates"
    print(f"{size}, {frame['group'].nunique():,} groups")

    mine, loops = [], []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(arguments.rounds):
        mine.append(seconds(ours, frame, arguments.replicates))
        if number == 0:
            after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        loop = seconds(plain, frame, arguments.plain) / arguments.plain
        loops.append(loop * arguments.replicates)
        print(f"skincnn {mine[-1]:6.1f} s   scikit-learn's loop {loops[-1]:8.0f} s (scaled up)")
    print(f"memory it added at its peak: {(after - before) / 1024:.0f} MB")
    other = f"{statistics.median(loops):.0f} s: scikit-learn in a loop, scaled up"
    ratios = [a / b for a, b in zip(mine, loops, strict=True)]
    row(f"metrics with intervals, {size}", f"{statistics.median(mine):.1f} s", other, ratios)


if __name__ == "__main__":
    main()
