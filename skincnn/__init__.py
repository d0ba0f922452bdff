"""Classify photographs of skin lesions: audited data, leakage-free folds, honest figures.

Importing this package loads no TensorFlow and sets no seed; each module loads what it needs.
Nothing in here is a medical device.
"""

__version__ = "0.1.0"
