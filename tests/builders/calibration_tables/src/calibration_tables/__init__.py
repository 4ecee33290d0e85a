"""The tables that the sample instrument pins."""

from importlib.metadata import version

VERSION = version("calibration-tables")
