"""What is said of a photograph: one answer, made in one place for notebook, command line and page.

numpy only.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from skincnn import calibrate, labels, strangers
from skincnn.artefact import Facts

NOT_SURE, NOT_A_LESION = "not sure", "not a lesion"
EVEN = 0.5  # from here a probability is called malignant where no threshold was fitted


class Verdict(NamedTuple):
    """One photograph's answer."""

    probabilities: list[float]  # calibrated, in the order of the classes
    label: str  # the most probable class
    confidence: float  # its probability
    malignant: float | None  # probability; None where the classes say nothing of malignancy
    interval: tuple[float, float] | None  # how often such photographs were (calibrate.interval)
    answer: str  # benign, malignant, not sure, not a lesion; a class where none is malignant
    strangeness: float | None  # above 1: not a photograph of the kind; None where not fitted
    sentence: str  # for a person

    def told(self, classes: Sequence[str]) -> dict:
        """The answer for a program, as JSON has it; what does not apply is None."""
        return {
            "answer": self.answer,
            "sentence": self.sentence,
            "label": self.label,
            "confidence": _rounded(self.confidence),
            "malignant": _rounded(self.malignant),
            "interval": self.interval and [_rounded(bound) for bound in self.interval],
            "strangeness": _rounded(self.strangeness),
            "probabilities": {
                name: _rounded(p) for name, p in zip(classes, self.probabilities, strict=True)
            },
        }


def of(facts: Facts, raw: np.ndarray, features: np.ndarray | None = None) -> list[Verdict]:
    """Say what a model's numbers mean.

    "not a lesion" comes first: of a stranger nothing else is worth saying. Then "not sure" where
    the most probable class is not probable enough, then the rest.

    Args:
        facts: of the model.
        raw: (N, C) probabilities as the network gives them.
        features: (N, D) as the network gives them; None knows no strangers.
    """
    raw = np.asarray(raw, np.float64)
    probabilities = calibrate.softened(raw, facts.temperature)
    odd = [None] * len(raw)
    if facts.strangers and features is not None:
        odd = strangers.strangeness(facts.strangers, features).tolist()
    return [_one(facts, row, strange) for row, strange in zip(probabilities, odd, strict=True)]


def _one(facts: Facts, probabilities: np.ndarray, strange: float | None) -> Verdict:
    best = int(probabilities.argmax())
    label, confidence = facts.classes[best], float(probabilities[best])
    malignant = interval = None
    answer = label
    if facts.malignant:
        counted = [name in facts.malignant["classes"] for name in facts.classes]
        malignant = min(1.0, float(probabilities[counted].sum()))
        threshold = facts.malignant.get("threshold")
        answer = (
            "malignant" if malignant >= (EVEN if threshold is None else threshold) else "benign"
        )
        if grid := facts.malignant.get("grid"):
            at, low, high = np.asarray(grid, np.float64).T
            interval = (float(np.interp(malignant, at, low)), float(np.interp(malignant, at, high)))
    if strange is not None and strange > 1:
        answer = NOT_A_LESION
    elif confidence < facts.abstain_below:
        answer = NOT_SURE
    sentence = _sentence(answer, label, confidence, malignant, interval)
    told = [float(p) for p in probabilities]
    return Verdict(told, label, confidence, malignant, interval, answer, strange, sentence)


def _sentence(answer, label, confidence, malignant, interval) -> str:
    if answer == NOT_A_LESION:
        return "This does not look like a dermoscopy photograph, so the model has no answer to it."
    parts = []
    if malignant is not None:
        parts.append(f"probability of malignancy {_percent(malignant)}")
    if interval:
        parts.append(f"of such photographs {_between(*interval)} were malignant")
    if label not in labels.TWO:
        parts.append(f"most like {label} ({_percent(confidence)})")
    told = "; ".join(parts)
    if answer == NOT_SURE:
        return f"Not sure, too close to call: {told}."
    return f"Looks {answer}: {told}." if malignant is not None else f"{told.capitalize()}."


def _between(low: float, high: float) -> str:
    low, high = f"{100 * low:.0f}", f"{100 * high:.0f}"
    return f"{low} %" if low == high else f"{low} to {high} %"


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(float(number), 6)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
