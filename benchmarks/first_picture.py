"""From JPEG bytes to the JPEG bytes of an overlay, over decoding + preprocessing + the plain forward. Bar 1.15.

A network of T steps is compared with its own forward of T steps. The peers run on the same network, but their forward
computes the last step only, which is less work than ours: their rows are not flattered by that, ours are not either.
All draw their first map with the same overlay and encoder, so rows differ by how the map is made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn
from torchcam.methods import GradCAM, LayerCAM

from benchmarks.common import Timing, interleave, models, one_thread, photo, rounds_from_command_line, save, show
from viz.core.heatmap import Heatmap, overlay, scale_for
from viz.geometry import Geometry, prepare
from viz.picture import Picture, open_picture
from viz.run.engine import Model


def finished(picture: Picture, heatmap: Heatmap) -> bytes:
    """Overlay and JPEG."""
    drawn = overlay(picture.rgb, heatmap, scale_for(heatmap, "image"))
    bgr = cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def layers_of(network: nn.Module) -> dict[str, nn.Module]:
    """Residual blocks in order, by their name: what 'all layers' means for the peers."""
    found = {}
    for name, module in network.named_modules():
        parent, _, last = name.rpartition(".")
        if last.isdigit() and parent.rpartition(".")[2] in ("layer1", "layer2", "layer3", "layer4", "_blocks"):
            found[name] = module
    return found


def jobs_for(model: Model, peers: bool) -> dict[str, Callable[[], Any]]:
    """The jobs of one model; peers need every layer to run once a forward."""
    data, _ = photo()
    network = model.network

    def opened() -> tuple[Picture, Tensor, Geometry]:
        picture = open_picture(data)
        return (picture, *prepare(picture, model.card.preprocessing, model.geometry))

    def floor() -> None:
        _, x, _ = opened()
        with torch.inference_mode():
            network.forward_steps(x)

    def ours() -> None:
        trace = model.trace(open_picture(data))
        finished(trace.picture, trace.class_map())

    jobs: dict[str, Callable[[], Any]] = {
        "decode + preprocess + plain forward of all steps": floor,
        "Searchlight: class map, every probe and step kept": ours,
    }
    if not peers:
        return jobs
    layers = layers_of(network)
    last = list(layers.values())[-1]

    def draw(values: Tensor, picture: Picture, geometry: Geometry) -> None:
        native = values.detach().float().squeeze().numpy()
        finished(picture, Heatmap(np.atleast_2d(native), geometry, "peer"))

    def captum_known() -> None:
        picture, x, geometry = opened()
        draw(LayerGradCam(network, last).attribute(x.requires_grad_(True), target=0), picture, geometry)

    def captum_unknown() -> None:
        picture, x, geometry = opened()
        with torch.inference_mode():
            best = int(network(x)[0].argmax())
        draw(LayerGradCam(network, last).attribute(x.requires_grad_(True), target=best), picture, geometry)

    def captum_all() -> None:
        picture, x, geometry = opened()
        with torch.inference_mode():
            best = int(network(x)[0].argmax())
        x.requires_grad_(True)
        maps = [LayerGradCam(network, layer).attribute(x, target=best) for layer in layers.values()]
        draw(maps[-1], picture, geometry)

    def torchcam(method: type, names: list[str]) -> Callable[[], None]:
        def run() -> None:
            picture, x, geometry = opened()
            with method(network, names) as cam:
                logits = network(x.requires_grad_(True))
                maps = cam(int(logits[0].argmax()), logits)
            draw(maps[-1], picture, geometry)

        return run

    names = list(layers)
    jobs |= {
        "captum LayerGradCam, last layer, class known": captum_known,
        "captum LayerGradCam, last layer, class found first": captum_unknown,
        f"captum LayerGradCam, all {len(names)} blocks": captum_all,
        "torchcam GradCAM, last layer": torchcam(GradCAM, names[-1:]),
        f"torchcam GradCAM, all {len(names)} blocks": torchcam(GradCAM, names),
        "torchcam LayerCAM, last layer": torchcam(LayerCAM, names[-1:]),
        f"torchcam LayerCAM, all {len(names)} blocks": torchcam(LayerCAM, names),
    }
    return jobs


def main() -> None:
    rounds = rounds_from_command_line()
    one_thread()
    tables: dict[str, list[Timing]] = {}
    for name, model in models().items():
        jobs = jobs_for(model, peers=name != "lite0-tdam")
        tables[name] = interleave(jobs, next(iter(jobs)), rounds if len(jobs) > 2 else 2 * rounds + 1, warmup=1)
        show(name, tables[name])
    save("first_picture", rounds, tables)


if __name__ == "__main__":
    main()
