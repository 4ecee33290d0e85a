"""What goes wrong when an environment is made."""

from platform_assets.common.errors import PermanentError, TransientError


class InstallFailed(PermanentError):
    """An environment cannot be made: what is asked for does not exist, contradicts itself, or does not build."""

    code = "install_failed"
    remedy = "Read the installer's text; correct the package's pins, or say where its wheels are (--find-links, --index-url)."


class MissingExtra(InstallFailed):
    """The package has no such extra; installers only warn of it, and install something else than was asked for."""

    code = "missing_extra"
    remedy = "Add the extra to the package; to do without `frozen`, export with --no-frozen."


class IndexUnreachable(TransientError):
    """The package index did not answer."""

    code = "index_unreachable"
    remedy = "Look at the network and the index; what was made before runs without it."
