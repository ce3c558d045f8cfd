"""Small TD-ResNets whose gates are far from constant."""

from __future__ import annotations

import torch

from viz.models.networks.td_resnet import TDResNet, TDResNetConfig


def network_of(steps: int = 3, feedback: int = 2, block: str = "basic", **searchlight: object) -> TDResNet:
    """Two TD stages of small depth with gates that are far from constant."""
    torch.manual_seed(7)
    config = TDResNetConfig(
        "bottleneck" if block == "bottleneck" else "basic",
        (1, 1, 2, 1),
        num_classes=5,
        steps=steps,
        feedback=feedback,
        searchlight={"technique": "joint_concat", **searchlight},
    )
    network = TDResNet(config).eval()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith("running_mean"):
                value.normal_(0, 0.1)
            elif name.endswith("running_var"):
                value.uniform_(0.8, 1.2)
    return network
