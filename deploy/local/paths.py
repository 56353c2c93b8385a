"""Where the local stack keeps its things."""

from __future__ import annotations

import os
from pathlib import Path

import environ

ROOT = Path(__file__).resolve().parents[2]
environ.Env.read_env(ROOT / ".env")  # the settings read it too, but not every part of the stack needs Django
VAR = Path(os.environ.get("QUEUEOPS_VAR") or ROOT / "var").resolve()
BIN = ROOT / ".venv" / "bin"
