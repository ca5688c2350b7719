"""Validation: the model beside recorded kernels, and in tests, a scenario beside your own measurements.

The name is imported when it is first used: pytest loads `rtsim.validation.pytest_plugin` wherever rtsim is installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rtsim.validation.assertion import assert_predicts

__all__ = ["assert_predicts"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'rtsim.validation' has no attribute {name!r}")
    from rtsim.validation.assertion import assert_predicts

    return assert_predicts
