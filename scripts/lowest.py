"""Prints constraints that are the lower bounds of pyproject.toml, of what users install: `make lowest` tests them."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

EXTRAS = ("anthropic", "auth", "openai", "reload", "skills")

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
groups = (project["dependencies"], *(project["optional-dependencies"][extra] for extra in EXTRAS))
for requirement in sorted(each for group in groups for each in group):
    if ">=" not in requirement:
        sys.exit(f"{requirement} has no lower bound")
    print(requirement.replace(">=", "==", 1))
