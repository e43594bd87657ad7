"""Binds the import name `musicgraph` to this checkout, whatever its folder is called."""

import importlib.util
import sys
from pathlib import Path

spec = importlib.util.spec_from_file_location("musicgraph", Path(__file__).parents[1] / "__init__.py")
sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules[spec.name])
