"""What is made of a model's numbers: the order of the answers, the sentence."""

import artefacts
import numpy as np
import pytest

from skincnn import strangers, verdict

NINE = {
    "classes": ["basal cell carcinoma", "melanoma", "nevus", "vascular lesion"],
    "malignant": {"classes": ["basal cell carcinoma", "melanoma"], "threshold": 0.4, "grid": []},
}


def test_malignancy_is_the_sum_over_its_diagnoses():
    facts = artefacts.facts(**NINE)
    (said,) = verdict.of(facts, [[0.2, 0.25, 0.5, 0.05]])
    assert said.malignant == pytest.approx(0.45)
    # the most probable class is benign, and two cancers together are above the threshold
    assert (said.label, said.answer) == ("nevus", "not sure")
    (said,) = verdict.of(artefacts.facts(**NINE, abstain_below=0.0), [[0.2, 0.25, 0.5, 0.05]])
    assert said.answer == "malignant"
    assert (
        said.sentence == "Looks malignant: probability of malignancy 45 %; most like nevus (50 %)."
    )


def test_a_stranger_is_told_first():
    known = artefacts.facts().strangers
    usual, odd = np.array([[0.5, 0.3, 0.5]]), np.array([[0.1, 0.95, 0.1]])
    facts = artefacts.facts()
    assert verdict.of(facts, [[0.55, 0.45]], odd)[0].answer == "not a lesion"
    assert "does not look like a dermoscopy" in verdict.of(facts, [[0.55, 0.45]], odd)[0].sentence
    assert verdict.of(facts, [[0.55, 0.45]], usual)[0].answer == "not sure"
    assert verdict.of(facts, [[0.1, 0.9]], usual)[0].answer == "malignant"
    assert verdict.of(facts, [[0.1, 0.9]], None)[0].strangeness is None
    assert strangers.strangeness(known, odd)[0] > 1 > strangers.strangeness(known, usual)[0]


def test_a_twentieth_of_new_lesions_is_refused():
    rng = np.random.default_rng(1)
    spread = rng.normal(size=(100, 200)) / np.arange(1, 201)
    known = strangers.fit(
        rng.normal(size=(1500, 100)) @ spread, rng.normal(size=(400, 100)) @ spread
    )
    fresh = strangers.strangeness(known, rng.normal(size=(2000, 100)) @ spread)
    assert 0.02 < (fresh > 1).mean() < 0.09
    assert (strangers.strangeness(known, rng.normal(size=(50, 200)) * 20) > 1).all()


def test_too_few_lesions_know_no_stranger():
    with pytest.raises(ValueError, match="5 photographs that trained and 400 that did not are too"):
        strangers.fit(np.zeros((5, 3)), np.zeros((400, 3)))
