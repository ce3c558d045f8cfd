"""Bundled module files: one attention module for the frozen Lite0, as safetensors."""

from __future__ import annotations
