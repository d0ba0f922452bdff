"""Where things live, and every setting of a training run in one place.

Standard library only. `presets` has the settings that go by a name.
"""

import dataclasses
import os
from pathlib import Path

NOTICE = "skincnn is for learning and research. It is not a medical device."
PROTOCOLS = ("published", "split_first", "clean")  # see splits and README
PRECISIONS = ("auto", "float32", "mixed_bfloat16")
OPTIMIZERS = ("adam", "adamw", "sgd")
LOSSES = ("cross_entropy", "focal")
SCHEDULES = ("constant", "cosine")
SAMPLINGS = ("plain", "balanced")
KEEPS = ("lowest_loss", "last", "highest_auc")
DATA_VARIABLE = "SKINCNN_DATA"  # one set's folder, or a folder that holds several sets


def project_root() -> Path:
    """The checkout this package runs from, or the working directory for an installed package."""
    checkout = Path(__file__).resolve().parent.parent
    return checkout if (checkout / "notebooks").is_dir() else Path.cwd()


def raw_dir() -> Path:
    """Where downloaded sets live (git-ignored)."""
    return project_root() / "data" / "raw"


def sample_dir() -> Path:
    """Where the synthetic sample set is drawn (git-ignored)."""
    return project_root() / "data" / "sample"


def runs_dir() -> Path:
    """Published runs: settings, curves, predictions and metrics are committed, weights are not."""
    return project_root() / "outputs" / "runs"


def local_dir() -> Path:
    """Everything else that is written: runs of your own, caches, augmented copies (git-ignored)."""
    return project_root() / "outputs" / "local"


def data_variable() -> Path | None:
    """The folder `SKINCNN_DATA` names, or None where it is unset or empty."""
    value = os.environ.get(DATA_VARIABLE, "")
    return Path(value).expanduser() if value else None


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """The settings of one training run; with the data's fingerprint they decide its result."""

    preset: str = "baseline"  # the name in presets.PRESETS this started from
    model: str = "baseline"  # a name in models.MODELS
    image_size: int = 180  # pixels a side; the published recipes' size
    batch_size: int = 32  # photographs a step; the published recipes' size
    epochs: int = 20  # at most; early stopping may end a run before
    learning_rate: float = 1e-3  # Adam's default, which the published recipes use
    augment: str = "none"  # random layers while training: names in augment.RECIPES, joined by +
    copies_per_class: int = 0  # Augmentor adds this many copies to every class
    fill_to: int = 0  # Augmentor fills every class to this many photographs; 0 leaves them
    protocol: str = "published"  # published | split_first | clean, see splits and README
    validation_fraction: float = 0.2  # of the Train folder, by photograph; not for clean
    folds: int = 5  # of a clean split; the same ones whatever the seed, so that runs can be paired
    fold: int = 0  # the one held out
    inner_fraction: float = 0.12  # of a clean fold's training rows, by group: what chooses
    seed: int = 123  # the published split's; also weights, order and augmentation
    plateau_patience: int = 0  # epochs without a better validation loss before the rate drops
    plateau_factor: float = 0.5  # the rate is multiplied by this; 0 patience switches it off
    min_learning_rate: float = 1e-5  # the rate is never lowered below this
    early_stopping: int = 0  # epochs without a better validation loss before the end; 0 is off
    # lowest_loss or highest_auc (of two classes) in validation, or last: whose weights stay
    keep: str = "lowest_loss"
    precision: str = "auto"  # auto | float32 | mixed_bfloat16: the faster differs by network
    # --- transfer: for the networks of `backbones` ---
    weights: str = ""  # imagenet, a file of weights or a saved backbone; "" trains from scratch
    head_epochs: int = 0  # the classifier alone first, on features computed once
    tuned: float = 1.0  # the share of the backbone's layers, from the top, that trains then
    dropout: float = 0.2  # before the classifier of a backbone
    layer_decay: float = 1.0  # the rate's factor from one tenth of the layers to the one below
    pretrain: str = ""  # a set to train on before, without any relative of this one's photographs
    pretrain_epochs: int = 5  # over that set
    # --- optimisation ---
    optimizer: str = "adam"  # adam | adamw | sgd (Nesterov momentum 0.9)
    weight_decay: float = 0.0  # adamw's
    schedule: str = "constant"  # constant | cosine: down to a hundredth over all epochs
    warmup_epochs: float = 0.0  # the rate rises from nothing over these first
    ema: float = 0.0  # momentum of the moving average of weights that is scored; 0 is off
    # --- loss and what the network sees ---
    loss: str = "cross_entropy"  # cross_entropy | focal (gamma 2)
    label_smoothing: float = 0.0  # share of the truth given to all classes alike
    class_weights: bool = False  # a photograph counts as much as its class is rare
    sampling: str = "plain"  # plain | balanced: an epoch draws every class as often
    mixup: float = 0.0  # alpha of the share in which two photographs are mixed; 0 is off
    cutmix: float = 0.0  # the same, for a rectangle of one in another
    hair_removal: bool = False  # dark hairs are painted over when a photograph is read
    # --- rare positives ---
    # this class against all others; malignant: all diagnoses that are; "" tells all classes apart
    positive: str = ""
    initial_bias: bool = False  # the classifier starts with the classes' shares, not with even ones
    metadata: bool = False  # age, sex and site are a second input
    # --- several devices or machines: see docs/machines.md ---
    devices: int = 1  # of this machine that share a batch
    readers: int = 1  # streams that share a batch, each of its own shards; a process has some
    # --- prediction ---
    views: int = 1  # 8: predictions are means over the photograph's turns and mirrorings

    def __post_init__(self):
        allowed_for = {
            "protocol": PROTOCOLS,
            "precision": PRECISIONS,
            "optimizer": OPTIMIZERS,
            "loss": LOSSES,
            "schedule": SCHEDULES,
            "sampling": SAMPLINGS,
            "keep": KEEPS,
            "views": (1, 8),
        }
        for name, allowed in allowed_for.items():
            value = getattr(self, name)
            if value not in allowed:
                choices = ", ".join(map(str, allowed))
                raise ValueError(f"{name}={value!r}: choose one of {choices}")
        for name in ("image_size", "batch_size", "epochs", "devices", "readers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)!r}: must be at least 1")
        for name in ("validation_fraction", "inner_fraction"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)!r}: must be in (0, 1)")
        for name in ("dropout", "ema", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)!r}: must be in [0, 1)")
        for name in ("tuned", "layer_decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)!r}: must be in [0, 1]")
        for name in ("head_epochs", "warmup_epochs", "weight_decay", "mixup", "cutmix"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)!r}: must not be negative")
        if self.plateau_patience and (self.schedule != "constant" or self.warmup_epochs):
            raise ValueError(
                "plateau_patience goes with neither a schedule nor warmup_epochs: both set the rate"
            )
        # What an optimizer would not heed is refused, or the record would say what was not done.
        if self.optimizer != "adamw" and (self.weight_decay or self.layer_decay < 1):
            raise ValueError(
                f"optimizer={self.optimizer!r}: weight_decay and layer_decay need adamw"
            )
        for name in ("devices", "readers"):
            if self.batch_size % getattr(self, name):
                value = getattr(self, name)
                raise ValueError(f"{name}={value}: must divide batch_size={self.batch_size}")
        if self.folds < 2:
            raise ValueError(f"folds={self.folds!r}: must be at least 2")
        held_out = self.folds if self.protocol == "clean" else 1  # the published split has one fold
        if self.fold not in range(held_out):
            raise ValueError(
                f"fold={self.fold!r}: protocol {self.protocol} has folds 0…{held_out - 1}"
            )
        if self.copies_per_class and self.fill_to:
            raise ValueError("copies_per_class and fill_to exclude each other: set one of them")

    def replace(self, **changes) -> "RunConfig":
        """A copy with some settings changed; an unknown name is a TypeError."""
        return dataclasses.replace(self, **changes)

    def asdict(self) -> dict:
        """The settings as a plain dictionary, in declaration order."""
        return dataclasses.asdict(self)


def parse(texts: list[str]) -> dict:
    """Settings as they are typed, `name=value`, as a dictionary of their own types.

    Raises:
        ValueError: no `=`, an unknown name, or a value of another type.
    """
    kinds = {field.name: type(field.default) for field in dataclasses.fields(RunConfig)}
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in kinds:
            raise ValueError(f"{text!r}: give name=value, the name one of {', '.join(kinds)}")
        kind = kinds[name]
        try:
            if kind is bool:
                found[name] = {"true": True, "false": False}[value.lower()]
            else:
                found[name] = kind(value)
        except (KeyError, ValueError):
            choice = "true or false" if kind is bool else kind.__name__
            raise ValueError(f"{name}={value!r}: must be {choice}") from None
    return found
