"""Files of weights: where they lie, and which ones they are. Standard library only."""

import hashlib
import os
import re
from pathlib import Path

IMAGENET = "imagenet"  # Keras's own, fetched by it where they are not at hand


class WeightsError(ValueError):
    """Weights that are not there or do not fit; the message says what to do."""


def find(weights: str) -> Path:
    """A file of weights: as named, or of that name in Keras's own folder (`KERAS_HOME`/models).

    Raises:
        WeightsError: it is in neither place.
    """
    places = [Path(weights).expanduser(), home() / "models" / weights]
    for place in places:
        if place.is_file():
            return place
    raise WeightsError(f"weights {weights!r}: no such file, nor {places[1]}")


def home() -> Path:
    """Where Keras keeps what it fetched: `KERAS_HOME`, else `~/.keras`."""
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()


def at_hand(name: str) -> str:
    """`imagenet` where Keras has a network's weights already (they may be fetched elsewhere), else
    "": so that a notebook runs on any machine and says with what."""
    # ResNet50 is not ResNet50V2; MobileNetV3's files begin with "weights"
    wanted = re.compile(f"(weights)?{re.escape(plain(name))}(?!v[0-9])")
    files = [plain(path.name) for path in (home() / "models").glob("*.h5")]
    here = any(wanted.match(file) and "notop" in file for file in files)
    return IMAGENET if here else ""


def digest(weights: str) -> str:
    """SHA-256 of the file that `weights` names; "" for `imagenet`, which Keras checks itself, for
    none, and for a file that is not here any more."""
    if weights in ("", IMAGENET):
        return ""
    try:
        return hashlib.sha256(find(weights).read_bytes()).hexdigest()
    except WeightsError:
        return ""


def plain(text: str) -> str:
    """A name without what people spell differently: `efficientnet_lite0` is `EfficientNetLite0`."""
    return "".join(c for c in text.lower() if c.isalnum())
