"""Classify photographs of skin lesions: audited data, leakage-free folds, honest figures.

Importing this package loads no TensorFlow and sets no seed; each module loads what it needs.
Nothing in here is a medical device.
"""

import os

# TensorFlow uses oneDNN unasked only on CPUs with AVX-512; without it, its own convolutions train
# a third slower on the AVX2 machines most laptops and many clouds are. Read when TensorFlow loads.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# ONNX Runtime reports to its makers, on Linux too, unless this stands before its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
