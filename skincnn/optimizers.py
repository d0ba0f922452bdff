"""How a network learns: optimizer, schedule and loss from the settings. Plain Keras 3."""

import math

import keras

from skincnn import config

LOWEST = 0.01  # of the rate, where a cosine ends
FOCUS = 2.0  # gamma of the focal loss, as published
TENTHS = 10  # steps of the layer-wise decay


def compile_model(model: keras.Model, settings: config.RunConfig, steps: int = 1) -> keras.Model:
    """Compile a network as the settings say.

    Args:
        model: with the layers that train chosen already.
        settings: of the run.
        steps: training steps an epoch, which the schedule counts.

    Returns:
        The model.
    """
    soft = soft_labels(settings)
    shares, numbers = keras.metrics.CategoricalAccuracy, keras.metrics.SparseCategoricalAccuracy
    accuracy = shares if soft else numbers
    model.compile(
        optimizer(settings, steps, _depths(model)),
        loss(settings) if soft else keras.losses.SparseCategoricalCrossentropy(),
        metrics=[accuracy("accuracy"), *([AUC()] if model.output_shape[-1] == 2 else [])],
    )
    # Slots that were made while TensorFlow traces the first step would have it traced twice.
    model.optimizer.build(model.trainable_variables)
    return model


@keras.saving.register_keras_serializable(package="skincnn")
class AUC(keras.metrics.AUC):
    """Area under the ROC curve of two classes, the same whichever of them is looked for.

    Keras's sums up 200 thresholds, which is near enough to follow a training; figures come from
    `evaluate`.
    """

    def __init__(self, name: str = "auc", **options):
        super().__init__(name=name, **options)

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true = keras.ops.convert_to_tensor(y_true)
        shares = len(y_true.shape) == 2 and y_true.shape[-1] == 2
        return super().update_state(y_true[:, 1] if shares else y_true, y_pred[:, 1], sample_weight)


def soft_labels(settings: config.RunConfig) -> bool:
    """Whether the settings need labels as shares of classes: one photograph can have two."""
    return bool(
        settings.loss == "focal" or settings.label_smoothing or settings.mixup or settings.cutmix
    )


def loss(settings: config.RunConfig) -> keras.losses.Loss:
    """The loss on shares of classes; the networks end in softmax.

    The focal loss (Lin et al. 2017) counts a photograph the less the surer the network is of it.
    """
    if settings.loss == "focal":
        return keras.losses.CategoricalFocalCrossentropy(
            alpha=1.0, gamma=FOCUS, label_smoothing=settings.label_smoothing
        )
    return keras.losses.CategoricalCrossentropy(label_smoothing=settings.label_smoothing)


def rate(settings: config.RunConfig, steps: int):
    """The learning rate, or its schedule: a straight rise, then a cosine's fall (Loshchilov &
    Hutter 2017)."""
    warm = round(settings.warmup_epochs * steps)
    if settings.schedule == "cosine":
        return Cosine(settings.learning_rate, max(1, settings.epochs * steps - warm), warm)
    if warm:
        return keras.optimizers.schedules.PolynomialDecay(
            settings.learning_rate / warm, warm, settings.learning_rate
        )
    return settings.learning_rate


@keras.saving.register_keras_serializable(package="skincnn")
class Cosine(keras.optimizers.schedules.LearningRateSchedule):
    """A straight rise to the highest rate, then a cosine's fall to a hundredth of it.

    Keras's `CosineDecay` has two branches. AdamW asks for the rate once for every weight, and on a
    backbone of 140 of them the branches took a third of the time before the first step.

    Args:
        highest: the rate after the rise.
        falling: steps of the fall; the rate stays where it ends.
        rising: steps of the rise; 0 starts at the highest.
    """

    def __init__(self, highest: float, falling: int, rising: int = 0):
        super().__init__()
        self.highest, self.falling, self.rising = highest, falling, rising

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        fallen = keras.ops.clip((step - self.rising) / self.falling, 0.0, 1.0)
        share = LOWEST + (1 - LOWEST) * 0.5 * (1.0 + keras.ops.cos(math.pi * fallen))
        risen = keras.ops.minimum(step / self.rising, 1.0) if self.rising else 1.0
        return self.highest * share * risen

    def get_config(self):
        return {"highest": self.highest, "falling": self.falling, "rising": self.rising}


def optimizer(
    settings: config.RunConfig, steps: int = 1, depths: list[float] | None = None
) -> keras.optimizers.Optimizer:
    """The optimizer of the settings.

    Args:
        depths: of each trainable weight, 0 at the top, 1 at the bottom of the backbone; only needed
            where the settings have a `layer_decay`.
    """
    options = {"learning_rate": rate(settings, steps)}
    if settings.ema:
        # Overwritten by hand, when an epoch is scored (`checkpoints`).
        options |= {"use_ema": True, "ema_momentum": settings.ema}
    if settings.optimizer == "sgd":
        return keras.optimizers.SGD(momentum=0.9, nesterov=True, **options)
    if settings.layer_decay < 1:
        scales = [settings.layer_decay ** round(TENTHS * depth) for depth in depths]
        return LayerwiseAdamW(scales, settings.weight_decay, **options)
    if settings.optimizer == "adamw":
        return keras.optimizers.AdamW(weight_decay=settings.weight_decay, **options)
    return keras.optimizers.Adam(**options)


@keras.saving.register_keras_serializable(package="skincnn")
class LayerwiseAdamW(keras.optimizers.Adam):
    """AdamW whose rate has a factor for each weight: what a backbone's first layers know is kept
    longer than what its last ones do (Howard & Ruder 2018).

    Args:
        scales: one factor a trainable weight, in their order.
        decay: of the weights, decoupled; at the weight's own rate, which Keras's would not be.
    """

    def __init__(self, scales: list[float], decay: float = 0.0, **options):
        super().__init__(**options)
        self.scales, self.decay = list(scales), decay

    def update_step(self, gradient, variable, learning_rate):
        own = learning_rate * self.scales[self._get_variable_index(variable)]
        rate = keras.ops.cast(own * self.decay, variable.dtype)
        self.assign_sub(variable, variable * rate)
        super().update_step(gradient, variable, own)

    def get_config(self):
        return {**super().get_config(), "scales": self.scales, "decay": self.decay}


def _depths(model: keras.Model) -> list[float]:
    """0 for what is not of the backbone, else from 0 (its last trainable weight) to 1 (first)."""
    names = {layer.name for layer in model.layers}
    if "backbone" not in names:
        return [0.0] * len(model.trainable_variables)
    inside = [id(v) for v in model.get_layer("backbone").trainable_variables]
    order = {variable: at for at, variable in enumerate(inside)}
    last = max(1, len(inside) - 1)
    return [
        (last - order[id(v)]) / last if id(v) in order else 0.0 for v in model.trainable_variables
    ]
