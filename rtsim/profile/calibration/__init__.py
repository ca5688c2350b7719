"""Calibration: from traces and histograms of a machine to the noise sources and costs of its profile."""

from rtsim.profile.calibration.calibrate import Calibration, calibrate

__all__ = ["Calibration", "calibrate"]
