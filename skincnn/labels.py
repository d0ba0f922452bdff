"""The nine diagnoses: names as the folders spell them, short codes, what else they are called, and
which of them are malignant.

Standard library only: everything may import it.
"""

import re
from collections.abc import Iterable

# The archive's ids, and the sample set's. Cameras number otherwise: IMG_20210101_120000 is no id.
_IMAGE_ID = re.compile(r"^(?:ISIC|SYN)_\d{7,}")

# Folder name -> the code the ISIC archive's ground-truth tables use for the same diagnosis.
# Alphabetical, which is also the order every classifier in this package numbers its outputs by.
ISIC9 = {
    "actinic keratosis": "AK",
    "basal cell carcinoma": "BCC",
    "dermatofibroma": "DF",
    "melanoma": "MEL",
    "nevus": "NV",
    "pigmented benign keratosis": "BKL",
    "seborrheic keratosis": "SEK",
    "squamous cell carcinoma": "SCC",
    "vascular lesion": "VASC",
}

# Cancers of the skin (WHO Classification of Skin Tumours, 4th edition, 2018), and one that is none
# yet (see DEBATED).
MALIGNANT = frozenset(
    {
        "actinic keratosis",
        "basal cell carcinoma",
        "melanoma",
        "squamous cell carcinoma",
    }
)
DEBATED = frozenset({"actinic keratosis"})  # malignant here by choice: see `malignant`
TWO = ("benign", "malignant")

OTHER = "other"  # all classes but the one that is looked for
POSITIVE = ("melanoma", "malignant")  # the class that is looked for, the first of these there is

# What other tables call the nine: HAM10000's `dx`, and the codes above, whatever their case.
_NAMES = {code.lower(): name for name, code in ISIC9.items()} | {"akiec": "actinic keratosis"}


def name(text: str) -> str:
    """The folder name of a diagnosis that a table gives as a code (`akiec`, `MEL`), else the text.

    HAM10000's `akiec` holds intraepithelial carcinomas (Bowen's disease) too.
    """
    return _NAMES.get(text.strip().lower(), text.strip())


def malignant(text: str) -> bool | None:
    """Whether a diagnosis is counted as malignant, or None where its name does not say (`other`).

    Melanoma, basal cell carcinoma and squamous cell carcinoma are cancers. **Actinic keratosis is a
    choice**: a precancer, of which few become squamous cell carcinoma (0.03 to 0.6 % a year:
    Werner et al. 2013, Br J Dermatol 169, 502), that some count as the same disease in situ
    (Ackerman & Mones 2006, Br J Dermatol 155, 9). The ISIC archive calls it indeterminate. Here it
    counts as malignant, since it is treated and since HAM10000's class `akiec` holds Bowen's
    disease, a carcinoma in situ, too (Tschandl et al. 2018, Sci Data 5, 180161). The other five of
    the nine are benign.

    Args:
        text: a diagnosis, its code in any case, `benign` or `malignant`.

    Example:
        >>> labels.malignant("melanoma"), labels.malignant("NV"), labels.malignant("other")
        (True, False, None)
    """
    diagnosis = name(text)
    if diagnosis in ISIC9:
        return diagnosis in MALIGNANT
    return {"benign": False, "malignant": True}.get(diagnosis.lower())


def as_two(names: Iterable[str]) -> dict[str, str]:
    """Diagnosis -> `benign` or `malignant`, for those that are `malignant` or not.

    Raises:
        ValueError: of one it is not known; the message has all of them.
    """
    known = {text: malignant(text) for text in names}
    if unknown := sorted(text for text, is_so in known.items() if is_so is None):
        raise ValueError(
            f"whether {', '.join(unknown)} is malignant is not known; name the class "
            f"{' or '.join(TWO)}, or one of {', '.join(ISIC9)}"
        )
    return {text: TWO[is_so] for text, is_so in known.items()}


def positive(classes) -> str | None:
    """Which of some classes is looked for, or None."""
    return next((name for name in POSITIVE if name in classes), None)


def column(label: str) -> str:
    """The name of a class's probability column in `predictions.csv`: `p_basal_cell_carcinoma`."""
    return "p_" + label.replace(" ", "_")


def code(label: str) -> str:
    """A short name for axes with little room: the ISIC code, or the label itself where unknown."""
    return ISIC9.get(label, label)


def image_id(stem: str) -> str:
    """The archive's id at the start of a file name (`ISIC_0000139`), or "" where there is none.

    Other names say nothing about which photograph it is: `1.jpg` stands in many folders.
    """
    match = _IMAGE_ID.match(stem)
    return match.group() if match else ""
