"""Random changes while training, as Keras layers: active in `fit`, absent in prediction.

A mole has no up, down, left or right, so flips and turns make photographs that could have been
taken. Plain Keras 3: the same code runs on TensorFlow and JAX.
"""

import math

import keras
import numpy as np


class _Random(keras.layers.Layer):
    """A layer that changes photographs (B, H, W, 3) in 0…255 while training only."""

    def __init__(self, seed: int = 0, **options):
        super().__init__(**options)
        self.seed = seed
        self.seeds = keras.random.SeedGenerator(seed)

    def call(self, images, training=False):
        return self.change(images) if training else images

    def draw(self, images, count: int, least: float, most: float) -> list:
        """`count` uniform numbers a photograph, each (B, 1)."""
        shape = (keras.ops.shape(images)[0], count)
        drawn = keras.random.uniform(shape, least, most, dtype="float32", seed=self.seeds)
        return [drawn[:, at : at + 1] for at in range(count)]

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable(package="skincnn")
class RandomView(_Random):
    """The mole from another side: mirrored, turned by any angle, nearer or farther, moved a little.

    One resampling for all of it; four layers one after the other take four times as long and blur
    four times.

    Args:
        zoom: largest factor nearer or farther, less 1.
        shift: most a photograph moves, share of its side.
    """

    def __init__(self, zoom: float = 0.2, shift: float = 0.08, **options):
        super().__init__(**options)
        self.zoom, self.shift = zoom, shift

    def change(self, images):
        ops = keras.ops
        height, width = images.shape[1:3]
        (turn,) = self.draw(images, 1, -math.pi, math.pi)
        flip, near, right, down = self.draw(images, 4, -1.0, 1.0)
        mirror = ops.where(flip < 0, -1.0, 1.0)
        scale = ops.exp(near * math.log(1 + self.zoom))
        cos, sin = ops.cos(turn) * scale, ops.sin(turn) * scale
        # from where in the photograph each pixel of the view comes; about the middle
        a, b, c, d = mirror * cos, -mirror * sin, sin, cos
        x, y = (width - 1) / 2, (height - 1) / 2
        e = x + right * self.shift * width - (a * x + b * y)
        f = y + down * self.shift * height - (c * x + d * y)
        none = ops.zeros_like(a)
        transform = ops.concatenate([a, b, e, c, d, f, none, none], axis=1)
        return ops.image.affine_transform(
            images, transform, interpolation="bilinear", fill_mode="reflect"
        )

    def get_config(self):
        return {**super().get_config(), "zoom": self.zoom, "shift": self.shift}


@keras.saving.register_keras_serializable(package="skincnn")
class RandomColour(_Random):
    """Another lamp and another camera: brightness, contrast and the balance of the channels.

    Args:
        light: most that brightness and contrast change, as a share.
        cast: most that a channel changes against the others, as a share.
    """

    def __init__(self, light: float = 0.2, cast: float = 0.08, **options):
        super().__init__(**options)
        self.light, self.cast = light, cast

    def change(self, images):
        ops = keras.ops
        bright, contrast = self.draw(images, 2, 1 - self.light, 1 + self.light)
        gains = ops.concatenate(self.draw(images, 3, 1 - self.cast, 1 + self.cast), axis=1)
        mean = ops.mean(images, axis=(1, 2), keepdims=True)
        contrast, bright = contrast[:, :, None, None], bright[:, :, None, None]
        changed = (mean + contrast * (images - mean)) * bright * gains[:, None, None, :]
        return ops.clip(changed, 0.0, 255.0)

    def get_config(self):
        return {**super().get_config(), "light": self.light, "cast": self.cast}


_VIEW, _COLOUR = (RandomView, {}), (RandomColour, {})
_ERASING = (
    keras.layers.RandomErasing,
    {"factor": 0.5, "scale": (0.02, 0.2), "fill_value": 128.0, "value_range": (0, 255)},
)
# name -> (layer class, arguments), in order; "dermoscopy+erasing" is one after the other.
# "flip_rotate_zoom" is the published recipe's.
RECIPES = {
    "none": (),
    "flip_rotate_zoom": (
        (keras.layers.RandomFlip, {"mode": "horizontal_and_vertical"}),
        (keras.layers.RandomRotation, {"factor": 0.1, "fill_mode": "reflect"}),
        (keras.layers.RandomZoom, {"height_factor": 0.1, "fill_mode": "reflect"}),
    ),
    "views": (_VIEW,),
    "colour": (_COLOUR,),
    "erasing": (_ERASING,),
    "dermoscopy": (_VIEW, _COLOUR),
}


def layers(recipe: str, seed: int = 0) -> list[keras.layers.Layer]:
    """The layers of a recipe, for float32 images (B, H, W, 3) in 0…255.

    Args:
        recipe: a name in `RECIPES`, or several with + between them.
        seed: of the random changes.

    Raises:
        ValueError: unknown recipe (the message lists them).
    """
    parts = recipe.split("+")
    if not set(parts) <= set(RECIPES):
        raise ValueError(f"augment={recipe!r}: choose of {', '.join(RECIPES)}, joined by +")
    steps = [step for part in parts for step in RECIPES[part]]
    return [
        # Pixels stay float32 whatever the network computes in: bfloat16 has 8 bits of mantissa.
        layer(**arguments, seed=seed + i, dtype="float32")
        for i, (layer, arguments) in enumerate(steps)
    ]


def views(image: np.ndarray, recipe: str = "flip_rotate_zoom", n: int = 9, seed: int = 0):
    """One photograph as training sees it, several times.

    Args:
        image: uint8 (H, W, 3).
        recipe: as for `layers`.
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
