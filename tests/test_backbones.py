"""Backbones: each family, its pre-processing, its weights, and what must not move in training."""

import keras
import numpy as np
import pytest

from skincnn import backbones, config, fitting, models, optimizers, pretrained

SMALLEST = (  # of each family, with random weights
    "ConvNeXtTiny",
    "DenseNet121",
    "EfficientNetV2B0",
    "MobileNetV2",
    "MobileNetV3Small",
    "ResNet50",
    "ResNet50V2",
    "Xception",
)


def photographs(n=4, size=96, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3)).astype("float32")


@pytest.fixture(scope="module")
def small():
    return models.build("MobileNetV3Small", 3, 48)


@pytest.mark.parametrize("name", SMALLEST)
def test_trained_saved_loaded_it_predicts_the_same(name, tmp_path):
    model = models.build(name, 3, 96, "dermoscopy")
    settings = config.RunConfig(model=name, optimizer="adamw", ema=0.9)
    optimizers.compile_model(model, settings).run_eagerly = True  # a graph takes longer to make
    before = model.get_layer("backbone").get_weights()[0].copy()
    model.train_on_batch(photographs(), np.array([0, 1, 2, 0]))
    assert np.abs(model.get_layer("backbone").get_weights()[0] - before).max() > 0, "it learnt"
    answers = np.asarray(model(photographs(), training=False))
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again(photographs(), training=False), answers, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("MobileNetV2", keras.applications.mobilenet_v2),
        ("Xception", keras.applications.xception),
        ("DenseNet121", keras.applications.densenet),
        ("ResNet50", keras.applications.resnet),
        ("ResNet50V2", keras.applications.resnet_v2),
        ("VGG16", keras.applications.vgg16),
        ("InceptionV3", keras.applications.inception_v3),
        ("EfficientNetV2B0", keras.applications.efficientnet_v2),
        ("MobileNetV3Small", keras.applications.mobilenet_v3),
        ("ConvNeXtTiny", keras.applications.convnext),
    ],
)
def test_pre_processing_is_the_one_the_family_was_trained_with(name, reference):
    x = photographs(2, 8)
    wanted = reference.preprocess_input(x.copy())
    for layer in backbones.preprocessing(name):
        x = layer(x)
    np.testing.assert_allclose(np.asarray(x), wanted, atol=1e-3)


def test_a_family_is_known_however_it_is_spelled_and_no_other():
    for name in ("EfficientNetLite0", "efficientnet_lite0_own", "efficientnet-lite4"):
        [scale] = backbones.preprocessing(name)
        assert scale.offset == -1.0
    assert all(isinstance(backbones.preprocessing(name), list) for name in backbones.names())
    with pytest.raises(ValueError, match="which pixels it takes is not known"):
        backbones.preprocessing("own")


def test_the_same_seed_gives_the_same_weights_and_global_state_is_as_it_was():
    import random

    random.seed(5)
    wanted = random.random()
    random.seed(5)
    a, b, c = (backbones.build("MobileNetV3Small", seed=s).get_weights() for s in (1, 1, 2))
    assert random.random() == wanted and keras.config.dtype_policy().name == "float32"
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert not all(np.array_equal(x, y) for x, y in zip(a, c, strict=True))
    mixed = backbones.build("MobileNetV3Small", dtype="mixed_bfloat16")
    assert {la.compute_dtype for la in mixed.layers} == {"bfloat16"}
    assert keras.config.dtype_policy().name == "float32"


# --- fine-tuning ----------------------------------------------------------------------------


def trained(model, share):
    backbones.hold(model, share)
    optimizers.compile_model(model, config.RunConfig(learning_rate=0.01)).run_eagerly = True
    before = {w.path: w.numpy() for w in model.weights}
    for _ in range(2):
        model.fit(photographs(8, 48), np.arange(8) % 3, verbose=0)
    return {path for path, value in before.items() if not np.array_equal(value, _now(model, path))}


def _now(model, path):
    return next(w for w in model.weights if w.path == path).numpy()


def test_moving_statistics_do_not_change_in_fine_tuning(small):
    moved = trained(small, 1.0)
    assert moved and not [path for path in moved if "moving_" in path]
    assert not [path for path in moved if path.endswith(("gamma", "beta"))]
    # the check itself: without holding them they do
    for layer in small.get_layer("backbone").layers:
        layer.trainable = True
    optimizers.compile_model(small, config.RunConfig()).run_eagerly = True
    before = {w.path: w.numpy() for w in small.weights if "moving_mean" in w.path}
    small.fit(photographs(8, 48), np.arange(8) % 3, verbose=0)
    assert not any(np.array_equal(value, _now(small, path)) for path, value in before.items())


def test_from_random_weights_statistics_follow_within_an_epoch(tmp_path, small):
    """With Keras's own momentum they stand nearly still for as long as this set trains a network,
    which is good in training then and poor in prediction."""
    steps = 40
    path = tmp_path / "small.weights.h5"
    small.get_layer("backbone").save_weights(path)
    for weights, follow in (("", True), (str(path), False)):
        backbone = backbones.build("MobileNetV3Small", weights)
        norms = [la for la in backbone.layers if isinstance(la, keras.layers.BatchNormalization)]
        assert norms and all((la.momentum**steps < 0.05) == follow for la in norms)
        again = type(norms[0]).from_config(norms[0].get_config())
        assert again.momentum == norms[0].momentum, "a checkpoint keeps it"


def test_a_share_trains_from_the_top(small):
    names = [la.name for la in small.get_layer("backbone").layers if la.weights]
    moved = {path.split("/")[-2] for path in trained(small, 0.25)}
    held = names[: round(0.75 * len(names))]
    assert "classifier" in moved and not moved & set(held) and moved & set(names)
    assert {path.split("/")[0] for path in trained(small, 0.0)} == {"classifier"}


def test_a_run_from_weights_holds_them_and_so_does_its_checkpoint(tmp_path, small):
    small.get_layer("backbone").save_weights(tmp_path / "own.weights.h5")
    settings = config.RunConfig(
        model="MobileNetV3Small", image_size=48, weights=str(tmp_path / "own.weights.h5")
    )
    model = fitting.compiled(settings, 3, "float32")
    model.save(tmp_path / "model.keras")
    for one in (model, keras.saving.load_model(tmp_path / "model.keras")):
        moving = [w for w in one.trainable_variables if "batch_norm" in w.path]
        assert one.trainable_variables and not moving
    free = fitting.compiled(settings.replace(weights=""), 3, "float32")
    assert len(free.trainable_variables) > len(model.trainable_variables)


# --- weights --------------------------------------------------------------------------------


def test_weights_from_a_file_and_a_saved_backbone_of_any_size(tmp_path, small, monkeypatch):
    backbone = backbones.build("MobileNetV3Small", seed=7)
    backbone.save_weights(tmp_path / "own.weights.h5")
    (tmp_path / "models").mkdir()
    fixed = keras.applications.MobileNetV3Small(
        include_top=False, weights=None, input_shape=(64, 64, 3)
    )
    fixed.set_weights(backbone.get_weights())
    fixed.save(tmp_path / "models" / "whole.keras")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    x = photographs(2, 96)
    wanted = backbone.predict_on_batch(x)
    one = backbones.build("MobileNetV3Small", str(tmp_path / "own.weights.h5"))
    other = backbones.build("any name", "whole.keras")  # found in Keras's folder
    mixed = backbones.build("any name", "whole.keras", dtype="mixed_bfloat16")
    assert {la.compute_dtype for la in mixed.layers if la.weights} == {"bfloat16"}
    for model in (one, other):
        np.testing.assert_allclose(model.predict_on_batch(x), wanted, atol=1e-5)


def test_weights_that_are_not_there_or_do_not_fit_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(backbones.WeightsError, match=r"'no\.weights\.h5': no such file"):
        backbones.build("MobileNetV2", "no.weights.h5")
    (tmp_path / "cut.weights.h5").write_bytes(b"\x89HDF")
    with pytest.raises(backbones.WeightsError, match=r"cut\.weights\.h5 does not fit MobileNetV2"):
        backbones.build("MobileNetV2", str(tmp_path / "cut.weights.h5"))
    (tmp_path / "cut.keras").write_bytes(b"PK")
    with pytest.raises(backbones.WeightsError, match="not a saved backbone"):
        backbones.build("x", str(tmp_path / "cut.keras"))


def test_without_network_imagenet_weights_are_one_clear_line(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise OSError("Name or service not known")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", offline)
    with pytest.raises(backbones.WeightsError, match="could not be fetched") as told:
        backbones.build("MobileNetV2", "imagenet")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5", "MobileNetV2"),
        ("xception_weights_tf_dim_ordering_tf_kernels_notop.h5", "Xception"),
        ("efficientnetv2-b0_notop.h5", "EfficientNetV2B0"),
        ("convnext_tiny_notop.h5", "ConvNeXtTiny"),
        ("weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5", "MobileNetV3Small"),
        ("resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5", "ResNet50V2"),
    ],
)
def test_weights_at_hand_are_known_by_the_names_keras_gives_them(file, name, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert pretrained.at_hand(name) == ""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / file).touch()
    assert pretrained.at_hand(name) == "imagenet"
    assert not any(map(pretrained.at_hand, ("VGG16", "ResNet50", "MobileNet")))


def test_unknown_names_are_told_with_those_there_are():
    with pytest.raises(ValueError, match=r"'VGG99' is unknown.*baseline.*MobileNetV2"):
        models.build("VGG99", 3, 96)
    with pytest.raises(ValueError, match="trained from scratch"):
        models.build("baseline", 3, 96, weights="imagenet")
