"""Hooks that stand on a network."""

from __future__ import annotations

from torch import nn

HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_forward_hooks_with_kwargs",
    "_state_dict_hooks",
)


def hooks(network: nn.Module) -> int:
    return sum(len(getattr(m, name)) for m in network.modules() for name in HOOKS)
