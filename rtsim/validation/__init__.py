"""Validation: the model beside recorded kernels, and in tests, a scenario beside your own measurements."""

from rtsim.validation.assertion import assert_predicts

__all__ = ["assert_predicts"]
