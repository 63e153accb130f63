"""convspec: a reference specification for the operations of convolutional networks, and a suite that checks kernels."""

from importlib.metadata import PackageNotFoundError, version

from convspec.adapters.backend import Unsupported

try:
    __version__ = version("convspec")
except PackageNotFoundError:  # a source tree on the path, not installed
    __version__ = "0"

__all__ = ["Unsupported", "__version__"]
