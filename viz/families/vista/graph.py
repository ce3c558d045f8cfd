"""VISTA-Net's message graph as published: messages between scales with a rank-T gate whose channel part is random.

Paper: Yang, Rota, Alameda-Pineda, Xu, Ding, Ricci, "Variational Structured Attention Networks for Deep Visual
Representation Learning", IEEE TIP 2022 (arXiv 2103.03510). Numbers and key names follow
ygjwd12345/VISTA-Net@7b85ec1, ``depth_prediction/pytorch/encoding/nn/AttentionGraphCondKernel.py``, and for the 1x1
combination and the sigmoid gate ``segmentation/encoding/nn/AttentionGraphCondKernel_w_warmup.py`` and ``_test.py``.

Points where that code differs from the paper, all kept: the channel vectors v are a softmax of noise, drawn anew in
every pass, also in evaluation, and never learned or inferred; nothing is iterated; the sum of ``v^t (x) m^t`` is
multiplied by the raw energy again, so that the gate is not of rank T and is about T / (2 W) as large as the energy;
rank 0 means no gate at all. Ours: the noise never comes from the global generator (`Draws`).
`viz/families/vista/inferred.py` holds a variant in which v and m are inferred.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from viz.capture.probe import Probe
from viz.core.record import CHANNEL_MAPS, KERNEL, MAP, VECTOR, Axes
from viz.families.local import kernel_prediction, local

Draws = Sequence[Tensor] | torch.Generator | Literal["uniform"] | None
Gate = Literal["structured", "sigmoid"]
Combination = Literal["strided", "pointwise"]
ZeroRank = Literal["energy", "nothing"]

DILATIONS = (1, 4, 8)
DEFAULT_SEED = 0
BLOCK = 256


class DrawSource:
    """The channel logits of one pass, drawn in the order in which they are needed."""

    def __init__(self, draws: Draws) -> None:
        self.uniform = isinstance(draws, str)
        if isinstance(draws, str) and draws != "uniform":
            raise ValueError(f"draws must be tensors, a torch.Generator, 'uniform' or None, not {draws!r}")
        self.given = None if draws is None or isinstance(draws, str | torch.Generator) else list(draws)
        self.generator = draws if isinstance(draws, torch.Generator) else torch.Generator().manual_seed(DEFAULT_SEED)
        self.count = 0

    def next(self, energy: Tensor) -> Tensor:
        """The next channel logits (N, W), on the device and in the precision of `energy` (N, W, h, w)."""
        shape = tuple(energy.shape[:2])
        self.count += 1
        if self.uniform:
            return energy.new_zeros(shape)
        if self.given is None:
            # Drawn in single precision where the generator lives, then moved: the same on every device.
            return torch.randn(shape, generator=self.generator, device=self.generator.device).to(energy)
        if self.count > len(self.given):
            raise ValueError(f"{len(self.given)} draws of channel logits are too few")
        value = self.given[self.count - 1]
        if tuple(value.shape) != shape:
            raise ValueError(f"draw {self.count} of the channel logits must be {shape}, not {tuple(value.shape)}")
        return value.to(energy)

    def finish(self) -> None:
        """Refuse leftover draws: the caller expected another number."""
        if self.given is not None and self.count != len(self.given):
            raise ValueError(f"{len(self.given)} draws of channel logits are given, {self.count} are used")


class _Gated(nn.Module):
    """A module with structured gates and probes by their label."""

    def __init__(self, rank: int, zero_rank: ZeroRank) -> None:
        super().__init__()
        if rank < 0 or zero_rank not in ("energy", "nothing"):
            raise ValueError(f"rank must be at least 0 and zero_rank energy or nothing, not {rank} and {zero_rank!r}")
        self.rank = rank
        self.zero_rank: ZeroRank = zero_rank

    def add_probe(self, axes: Axes, label: str, **facts: Any) -> None:
        self.add_module(f"probe_{label}", Probe("vista", axes, label, **facts))

    def probed(self, label: str, value: Tensor) -> Tensor:
        seen: Tensor = getattr(self, f"probe_{label}")(value, 1)
        return seen

    def add_rank_probes(self, q: int) -> None:
        for t in range(1, self.rank + 1):
            self.add_probe(MAP, f"spatial_map_{q}_{t}", bounds=(0.0, 1.0), unit="gate")
            drawn = {"unit": "random draw, not learned", "random_draw": True}
            self.add_probe(VECTOR, f"channel_vector_{q}_{t}", bounds=(0.0, 1.0), **drawn)

    def structured(self, q: int, energy: Tensor, source: DrawSource) -> Tensor:
        """S = sum_t m_t * v_t * A of the energy A (N, W, h, w)."""
        if self.rank == 0:
            return energy if self.zero_rank == "energy" else torch.zeros_like(energy)
        maps, vectors = [], []
        for t in range(1, self.rank + 1):
            vector = self.probed(f"channel_vector_{q}_{t}", torch.softmax(source.next(energy), dim=1))
            spatial = torch.sigmoid(torch.einsum("nchw,nc->nhw", energy, vector))
            vectors.append(vector)
            maps.append(self.probed(f"spatial_map_{q}_{t}", spatial))
        return torch.einsum("tnc,tnhw->nchw", torch.stack(vectors), torch.stack(maps)) * energy


class StructuredAttention(_Gated):
    """The gate ``struc_att``: S = sum_t m_t * v_t * A with v_t = softmax(noise) and m_t = sigmoid(sum_c v_t[c] A[c]).

    Args:
        rank: T; 0 gives S = A (`zero_rank` "energy") or S = 0 ("nothing", as the warm-up file has it).
        zero_rank: the meaning of rank 0.

    Probes: ``spatial_map_1_{t}`` (h, w), 0..1, and ``channel_vector_1_{t}`` (W,), positive with sum 1, a random draw,
    for t = 1..T.
    """

    def __init__(self, rank: int, *, zero_rank: ZeroRank = "energy") -> None:
        super().__init__(rank, zero_rank)
        self.add_rank_probes(1)

    def forward(self, energy: Tensor, draws: Draws = None) -> Tensor:
        """S (N, W, h, w) of the energy A (N, W, h, w).

        Raises:
            ValueError: draws that are not T tensors (N, W), a generator, "uniform" or None (a fresh one, fixed seed).
        """
        source = DrawSource(draws)
        gated = self.structured(1, energy, source)
        source.finish()
        return gated


class GatedMessage(_Gated):
    """Message from an emitting to a receiving scale of W channels, over three dilations (``AttentionGatedMSG``).

    For dilation d = 1, 4, 8 (q = 1, 2, 3): kernels P = conv3x3([se, sr]), E = conv3x3(se), R = conv3x3(sr), dilated by
    d; g = local(P, se); A = sr * g + local(E, se) + local(R, sr); message_q = S(A) * g. The output is
    ReLU(conv1x1([message_1, message_2, message_3])).

    Args:
        width: W. rank: T of the structured gate, see `StructuredAttention`.
        gate: ``structured``, or ``sigmoid`` for S = sigmoid(A) without draws (the earlier PGA-Net).
        zero_rank: see `StructuredAttention`.

    Probes: ``kernel_prediction_q``, ``kernel_emitting_q``, ``kernel_receiving_q`` (9, h, w); ``energy_q`` (W, h, w);
    ``spatial_map_q_t`` and ``channel_vector_q_t`` (structured gate only); ``structured_q`` (W, h, w), S.
    """

    def __init__(self, width: int, rank: int = 3, *, gate: Gate = "structured", zero_rank: ZeroRank = "energy") -> None:
        super().__init__(rank, zero_rank)
        if gate not in ("structured", "sigmoid"):
            raise ValueError(f"gate must be structured or sigmoid, not {gate!r}")
        self.width = width
        self.gate: Gate = gate
        # Names and shapes are those of the original state_dict.
        for q, d in enumerate(DILATIONS, 1):
            self.add_module(f"kernel_prediction_{q}", kernel_prediction(2 * width, dilation=d))
            self.add_module(f"kernel_se_{q}", kernel_prediction(width, dilation=d))
            self.add_module(f"kernel_sr_{q}", kernel_prediction(width, dilation=d))
        self.combination_msgs = nn.Sequential(nn.Conv2d(3 * width, width, 1), nn.ReLU())

        bounds = (0.0, 1.0) if gate == "sigmoid" else (-torch.inf, torch.inf)
        for q, d in enumerate(DILATIONS, 1):
            for role in ("prediction", "emitting", "receiving"):
                self.add_probe(KERNEL, f"kernel_{role}_{q}", unit="predicted kernel weight", dilation=d)
            self.add_probe(CHANNEL_MAPS, f"energy_{q}", unit="energy before the gate")
            if gate == "structured":
                self.add_rank_probes(q)
            self.add_probe(CHANNEL_MAPS, f"structured_{q}", bounds=bounds, unit="gate of the message")

    def forward(self, receiving: Tensor, emitting: Tensor, draws: Draws | DrawSource = None) -> Tensor:
        """The message (N, W, h, w), not negative, from sr and se, both (N, W, h, w).

        Args:
            receiving: sr. emitting: se.
            draws: 3 T tensors (N, W), a generator, "uniform", None (a fresh generator with a fixed seed), or the source
                of a longer pass, from which the next 3 T are taken.

        Raises:
            ValueError: draws that are none of these.
        """
        source = draws if isinstance(draws, DrawSource) else DrawSource(draws)
        kernels = self._kernels(receiving, emitting)
        mix, activation = self.combination_msgs
        assert isinstance(mix, nn.Conv2d)
        # The 1x1 convolution of all dilations side by side, summed dilation by dilation to keep one at a time.
        shares = torch.split(mix.weight, self.width, dim=1)
        total = F.conv2d(self._part(1, receiving, emitting, kernels[0], source), shares[0], mix.bias)
        for q in range(2, len(DILATIONS) + 1):
            total = total + F.conv2d(self._part(q, receiving, emitting, kernels[q - 1], source), shares[q - 1])
        if source is not draws:
            source.finish()
        message: Tensor = activation(total)  # type: ignore[operator]
        return message

    def _kernels(self, receiving: Tensor, emitting: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Predicted kernels P, E, R, each (N, 9, h, w), of every dilation."""
        both = torch.cat((emitting, receiving), dim=1)
        predicted = [getattr(self, f"kernel_prediction_{q}")(both) for q in range(1, len(DILATIONS) + 1)]
        return [
            (
                self.probed(f"kernel_prediction_{q}", kernel),
                self.probed(f"kernel_emitting_{q}", getattr(self, f"kernel_se_{q}")(emitting)),
                self.probed(f"kernel_receiving_{q}", getattr(self, f"kernel_sr_{q}")(receiving)),
            )
            for q, kernel in enumerate(predicted, 1)
        ]

    def _part(
        self, q: int, receiving: Tensor, emitting: Tensor, kernels: tuple[Tensor, Tensor, Tensor], source: DrawSource
    ) -> Tensor:
        """message_q of dilation q, before the combination."""
        d = DILATIONS[q - 1]
        predicted, of_emitter, of_receiver = kernels
        convolved = local(predicted, emitting, d)
        energy = torch.addcmul(local(of_emitter, emitting, d), receiving, convolved)
        energy = self.probed(f"energy_{q}", energy + local(of_receiver, receiving, d))
        gated = torch.sigmoid(energy) if self.gate == "sigmoid" else self.structured(q, energy, source)
        return self.probed(f"structured_{q}", gated) * convolved


class AttentionGraph(nn.Module):
    """The graph on three scales of a backbone (``AttentionGraphCondKernel``): scale 5 receives from 3, 4 and itself.

    Each scale goes through a 3x3 convolution to W channels with batch norm and ReLU, scales 4 and 5 are brought to the
    size of scale 3 (nearest cell), and the three messages are concatenated with scale 5.

    Args:
        channels: of scales 3, 4 and 5, fine to coarse; 512, 1024, 2048 in the released networks.
        width: W, 512 there. rank, gate, zero_rank: see `GatedMessage`.
        combination: ``strided``, two 3x3 convolutions with stride 2 (4 W channels at a quarter of scale 3's size), or
            ``pointwise``, one 1x1 convolution (2 W channels at scale 3's size).

    Probes: those of `GatedMessage` under ``attention_MSG_35``, ``attention_MSG_45`` and ``attention_MSG_55``.
    """

    def __init__(
        self,
        channels: Sequence[int] = (512, 1024, 2048),
        width: int = 512,
        rank: int = 3,
        *,
        combination: Combination = "strided",
        gate: Gate = "structured",
        zero_rank: ZeroRank = "energy",
    ) -> None:
        super().__init__()
        if len(channels) != 3:
            raise ValueError(f"channels must name three scales, not {list(channels)}")
        if combination not in ("strided", "pointwise"):
            raise ValueError(f"combination must be strided or pointwise, not {combination!r}")
        self.width, self.rank = width, rank
        self.combination: Combination = combination
        fine, middle, coarse = channels
        self.conv5 = _convolved(coarse, width, bias=False)
        self.conv4 = _convolved(middle, width, bias=False)
        self.conv3 = _convolved(fine, width, bias=False)
        message = partial(GatedMessage, width, rank, gate=gate, zero_rank=zero_rank)
        self.attention_MSG_45, self.attention_MSG_35, self.attention_MSG_55 = message(), message(), message()
        if combination == "strided":
            self.combination_msgs_51 = _convolved(4 * width, 4 * width, stride=2)
            self.combination_msgs_52 = _convolved(4 * width, 4 * width, stride=2)
        else:
            self.combination_msgs_5 = _convolved(4 * width, 2 * width, size=1)

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor, draws: Draws = None) -> Tensor:
        """(N, 4 W, h/4, w/4), rounded up, or (N, 2 W, h, w), from scales 3 (N, C3, h, w), 4 and 5.

        Raises:
            ValueError: draws that are not 9 T tensors (N, W) (messages 35, 45, 55; in each the dilations; in each the
                ranks), a generator, "uniform" or None (a fresh one with a fixed seed).
        """
        source = DrawSource(draws)
        size = (fine.shape[2], fine.shape[3])
        scale5 = F.interpolate(self.conv5(coarse), size=size, mode="nearest")
        scale4 = F.interpolate(self.conv4(middle), size=size, mode="nearest")
        messages = [
            self.attention_MSG_35(scale5, self.conv3(fine), source),
            self.attention_MSG_45(scale5, scale4, source),
            self.attention_MSG_55(scale5, scale5, source),
        ]
        source.finish()
        together = torch.cat((*messages, scale5), dim=1)
        del messages, scale4, scale5
        if self.combination == "pointwise":
            return self.combination_msgs_5(together)
        return self.combination_msgs_52(self.combination_msgs_51(together))


class _InBlocks(nn.Conv2d):
    """The same convolution by blocks of output channels if no gradient is needed.

    The CPU library rearranges the weights at every call: 151 MB at once for 2048 by 2048 channels, 19 MB by blocks.
    """

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or self.out_channels <= BLOCK or self.bias is None:
            return super().forward(x)
        blocks = zip(torch.split(self.weight, BLOCK), torch.split(self.bias, BLOCK), strict=True)
        return torch.cat([F.conv2d(x, weight, bias, self.stride, self.padding) for weight, bias in blocks], dim=1)  # type: ignore[arg-type]


def _convolved(inputs: int, outputs: int, *, size: int = 3, stride: int = 1, bias: bool = True) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    convolution = _InBlocks(inputs, outputs, size, stride, padding=size // 2, bias=bias)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())
