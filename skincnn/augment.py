"""Random changes while training, as Keras layers: active in `fit`, absent in prediction.

A mole has no up, down, left or right, so flips and turns make photographs that could have been
taken. Plain Keras 3: the same code runs on TensorFlow and JAX.
"""

import keras
import numpy as np

# name -> (layer class, arguments), in order. "flip_rotate_zoom" is the published recipe's.
RECIPES = {
    "none": (),
    "flip_rotate_zoom": (
        (keras.layers.RandomFlip, {"mode": "horizontal_and_vertical"}),
        (keras.layers.RandomRotation, {"factor": 0.1, "fill_mode": "reflect"}),
        (keras.layers.RandomZoom, {"height_factor": 0.1, "fill_mode": "reflect"}),
    ),
}


def layers(recipe: str, seed: int = 0) -> list[keras.layers.Layer]:
    """The layers of a recipe, for float32 images (B, H, W, 3) in 0…255.

    Raises:
        ValueError: unknown recipe (the message lists them).
    """
    if recipe not in RECIPES:
        raise ValueError(f"augment={recipe!r}: choose one of {', '.join(RECIPES)}")
    return [
        # Pixels stay float32 whatever the network computes in: bfloat16 has 8 bits of mantissa.
        layer(**arguments, seed=seed + i, dtype="float32")
        for i, (layer, arguments) in enumerate(RECIPES[recipe])
    ]


def views(image: np.ndarray, recipe: str = "flip_rotate_zoom", n: int = 9, seed: int = 0):
    """One photograph as training sees it, several times.

    Args:
        image: uint8 (H, W, 3).
        recipe: a name in `RECIPES`.
        n: how many, the first being the photograph itself.
        seed: of the random changes.

    Returns:
        uint8 (n, H, W, 3).
    """
    batch = np.repeat(image[None].astype("float32"), n - 1, axis=0)
    for layer in layers(recipe, seed):
        batch = layer(batch, training=True)
    batch = np.clip(keras.ops.convert_to_numpy(batch), 0, 255).astype(np.uint8)
    return np.concatenate([image[None], batch])
