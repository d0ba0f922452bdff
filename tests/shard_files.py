"""Shards as others write them: records in the fields of the competition and of its variants."""

import io

import numpy as np
import tensorflow as tf
from PIL import Image


def jpeg(seed=0, size=32, red=60):
    rng = np.random.default_rng(seed)
    pixels = (np.array([red, 90, 120]) + rng.integers(-25, 26, (size, size, 3))).clip(0, 255)
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def png(size=(32, 32)):
    """One of another format."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (60, 90, 120)).save(buffer, "PNG")
    return buffer.getvalue()


def record(**fields):
    """A serialised example: bytes and texts as bytes, whole numbers as int64."""
    features = {}
    for name, value in fields.items():
        value = value.encode() if isinstance(value, str) else value
        if isinstance(value, bytes):
            feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        else:
            feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        features[name] = feature
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def shard(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as file:
        for one in records:
            file.write(one)
    return path


def kaggle(number, target=0, patient=1, **more):
    """One as the 2020 competition's."""
    fields = {
        "image": jpeg(number, red=200 if target else 60),
        "image_name": f"ISIC_{number:07d}",
        "patient_id": patient,
        "sex": number % 2,
        "age_approx": 45,
        "anatom_site_general_challenge": 3,
        "diagnosis": 0,
        "target": target,
    }
    return record(**fields | more)


def folder(root, shards=4, each=12, every=4):
    """A set of shards; every so many-th record is malignant, three photographs a patient."""
    for number in range(shards):
        rows = range(number * each, (number + 1) * each)
        records = [kaggle(i, int(i % every == 0), patient=i // 3) for i in rows]
        shard(root / f"train{number:02d}-{each}.tfrec", records)
    return root
