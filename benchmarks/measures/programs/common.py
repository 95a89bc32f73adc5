"""What the programs here have in common. Each runs in the environment of its contender, as the cases' servers do."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["add", "extra", "idle_timeout", "serve"]

sys.path.append(str(Path(__file__).parents[2] / "servers"))
_shared: Any = import_module("shared")
add, serve = _shared.add, _shared.serve


def extra() -> str:
    """The tool that is switched on and off."""
    return "here"


def idle_timeout() -> float:
    """Seconds; without the option so long that nothing expires."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--idle-timeout", type=float, default=1800.0)
    return parser.parse_args().idle_timeout
