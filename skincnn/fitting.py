"""A network's own part of a training: made, fitted epoch by epoch, made ready to predict.

Which photographs train and which are asked, and what a run leaves, is `train`'s.
"""

from pathlib import Path

import keras
import numpy as np
import pandas as pd

from skincnn import (
    atomic,
    backbones,
    checkpoints,
    config,
    distribute,
    fused,
    models,
    optimizers,
    person,
    pipeline,
    runs,
    transfer,
)


def compiled(settings: config.RunConfig, classes: int, dtype: str, steps: int = 1) -> keras.Model:
    """A network with fresh weights, or a backbone's own, ready for `fit`.

    Args:
        steps: training steps an epoch.
    """
    model = models.build(
        settings.model,
        classes,
        settings.image_size,
        settings.augment,
        settings.seed,
        dtype,
        settings.weights,
        settings.dropout,
        person.WIDTH if settings.metadata else 0,
    )
    if settings.weights or settings.pretrain or settings.tuned < 1:
        backbones.hold(model, settings.tuned)
    return fused.fuse(optimizers.compile_model(model, settings, steps))


def epochs(
    settings: config.RunConfig,
    kind: tuple[int, str],
    training,
    chooser,
    folder: Path,
    before: runs.Run | None = None,
    verbose: int | str = "auto",
    tensorboard: bool = False,
) -> checkpoints.Checkpoints:
    """Train to the end, from the newest checkpoint where there is one.

    Args:
        kind: number of classes, and the precision to compute in.
        training: `pipeline.source` of what trains.
        chooser: of what chooses the epoch that is kept.
        folder: of the run; `history.csv` and `checkpoints/` are written into it.
        before: the run that pretrained the backbone.
        verbose: Keras's.
        tensorboard: also write `tensorboard/`.

    Returns:
        The state at the end: `history`, and `best_weights` of the epoch that is kept.
    """
    callbacks = []
    if settings.plateau_patience:
        callbacks.append(
            keras.callbacks.ReduceLROnPlateau(
                patience=settings.plateau_patience,
                factor=settings.plateau_factor,
                min_lr=settings.min_learning_rate,
            )
        )
    if settings.early_stopping:
        callbacks.append(keras.callbacks.EarlyStopping(patience=settings.early_stopping))

    def save_history(history: list[dict]) -> None:
        text = pd.DataFrame(history).to_csv(index=False, float_format="%.6g")
        atomic.write_text(folder / "history.csv", text)

    state = checkpoints.Checkpoints(
        folder / "checkpoints",
        settings.seed,
        callbacks,
        save_history,
        settings.keep,
        distribute.first(),
    )
    model = state.resume()
    distribute.agree(len(state.history), "the epochs that are done")
    if model is None:
        model = compiled(settings, *kind, len(training))
        if before:
            transfer.take_over(model, before)
        if settings.initial_bias:
            _start_at_shares(model, training.labels)
        if settings.head_epochs:
            transfer.warm_head(model, training, settings)
    else:
        fused.fuse(model)  # a file holds the plain network
        if verbose not in (0, "0"):
            print(f"Going on after epoch {len(state.history)} of {settings.epochs}.")
    if tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False))
    if not state.stopped and len(state.history) < settings.epochs:
        # What came before, features or a checkpoint's file, was made on one device; a network stays
        # where it was built.
        begun = _state(model) if distribute.spreads(settings.devices) else None
        with distribute.over(settings.devices):
            if begun:
                model = compiled(settings, *kind, len(training))
                _take(model, begun)
            model.fit(
                pipeline.stream(training, lambda: state.epoch),
                validation_data=pipeline.stream(chooser),
                initial_epoch=len(state.history),
                epochs=settings.epochs,
                callbacks=[*callbacks, state],
                shuffle=False,  # the pipeline does
                verbose=verbose,
            )
    if distribute.first():
        save_history(state.history)  # a kill may have come between a checkpoint and its table
    return state


def as_predicting(
    settings: config.RunConfig, classes: int, weights: list[np.ndarray]
) -> keras.Model:
    """The network as it predicts: float32, without what is random in training.

    Args:
        weights: of a network that trained, in their order.
    """
    model = models.build(
        settings.model,
        classes,
        settings.image_size,
        weights=settings.weights if settings.weights.endswith(".keras") else "",
        dropout=settings.dropout,
        people=person.WIDTH if settings.metadata else 0,
    )
    model.set_weights(weights)
    return model


def _state(model: keras.Model) -> tuple[list, list]:
    """The weights of a network and of its optimizer, as numpy."""
    model.optimizer.build(model.trainable_variables)
    rest = [keras.ops.convert_to_numpy(variable) for variable in model.optimizer.variables]
    return model.get_weights(), rest


def _take(model: keras.Model, state: tuple[list, list]) -> None:
    """Go on from what `_state` gave of the same network."""
    model.optimizer.build(model.trainable_variables)
    model.set_weights(state[0])
    for variable, value in zip(model.optimizer.variables, state[1], strict=True):
        variable.assign(value)


def _start_at_shares(model: keras.Model, labels: np.ndarray) -> None:
    """Let the classifier begin with the classes' shares: where one in fifty is a melanoma, the
    first epochs would else learn nothing but that (Karpathy 2019, A recipe for training)."""
    numbers = labels.argmax(axis=1) if labels.ndim == 2 else labels
    classifier = model.get_layer("classifier")
    kernel, bias = classifier.get_weights()
    shares = np.bincount(numbers, minlength=len(bias)) / len(numbers)
    classifier.set_weights([kernel, np.log(np.maximum(shares, 1 / len(numbers)))])
