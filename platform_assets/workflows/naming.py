"""Names for Dagster, which allows letters, digits and underscores only: different texts always have different names."""

import re

_BETWEEN = re.compile(r"[^A-Za-z0-9]+")
_SEPARATORS = {"_": "_", ".": "__", "-": "___"}


def dagster_name(*parts: str) -> str:
    """Return the name of some parts, such as `l0_to_l1_visp_1__0__2___Parse` of `l0_to_l1_visp_1.0.2` and `Parse`.

    What stands between letters and digits becomes a run of underscores: one for an underscore, two for a dot, three for a
    dash, which joins the parts too; anything else is written in hexadecimal between two runs of four.
    """
    return _BETWEEN.sub(_mangled, "-".join(parts))


def _mangled(found: re.Match[str]) -> str:
    text = found.group()
    return _SEPARATORS.get(text) or f"____{text.encode().hex()}____"
