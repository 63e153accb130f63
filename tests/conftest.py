"""What the tests need beside the installed package: the scripts in benchmarks/, which are not part of it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
