"""VISTA, our own variant: spatial maps and channel vectors are inferred jointly, by mean-field updates in the network.

Paper: Yang, Rota, Alameda-Pineda, Xu, Ding, Ricci, "Variational Structured Attention Networks for Deep Visual
Representation Learning", IEEE TIP 2022 (arXiv 2103.03510). From there: an emitting scale e sends the receiving scale r
a message through kernels predicted at every pixel; an attention tensor of the form ``sum_t v^t (x) m^t`` gates it; maps
m, vectors v and hidden features z are latent and updated in turn. The published code draws v at random and never
updates it (see ``graph.py``); the rest of this file is therefore ours, and no published number applies to it.

One message of emitter e with dilation d; ``|x|`` is the root mean square of x over a picture, ``f = f_r / |f_r|``,
``z = z_e / |z_e|``, ``local`` the convolution by predicted kernels:

    k, k_E = conv(z') + conv(f'), k_R = conv(f')    predicted kernels; k starts as the delta kernel (P, E, R there)
    A = f * local(k, z) + local(k_E, z) + local(k_R, f)                           the paper's energy ("att_raw")
    E = tanh(standardised(A) + O f')                                  ours: bounded, with an observation term O f'
    m^t[p] = sigmoid(s_t mean_c v^t[c] E[c,p] + b_t)                                                    map update
    v^t[c] = C softmax_c(tau_t mean_p m^t[p] E[c,p] + prior_t[c])                                   channel update
    a = sum_t v^t (x) m^t                                                            structured attention, rank T
    z_r = f_r + |f_r| sum over messages of strength * a * local(k, z)                                hidden update

For fixed E, m and v are exact coordinate ascent on one objective (`viz.families.vista.mean_field.objective`): E[c,p]
says how much channel c and position p support each other. The entropies of the objective keep both soft: |E| <= 1,
0 < tau < `sharpness` and |prior| < 3/2, so no channel can weigh more than exp(2 * sharpness + 3) times another,
whatever is learned, and v cannot become one-hot and leave the maps without effect.

Also ours: z' and f' are z and f after a 1x1 convolution to fewer channels and ReLU, so that O f' (1x1) is a small
network on single pixels and a map can become any function of the receiving features at a position; s_t is positive;
every emitter sends at the power of f_r, so that the self message cannot grow from update to update; v starts at the
prior of its rank; emitting scales are pooled to the receiving size and projected; only the receiving scale's z is
latent, the others emit their observed features.

With `selective` the module can only choose: the gate passes f, ``z_r = f_r + |f_r| sum of strength * a * f``; the
emitter and the kernels act only through a. Every scale then emits its observed features, so that E stays constant and
the updates climb one objective. (Otherwise the projection of a finer scale and the kernels are learned paths around the
attention: on a frozen network they gained nearly as much with every a replaced by its mean.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from viz.capture.probe import Probe
from viz.core.record import CHANNEL_MAPS, KERNEL, MAP, VECTOR
from viz.families.local import CENTRE, TAPS, kernel_prediction, local
from viz.families.vista.mean_field import outer_sum, power, standardised, update_maps, update_vectors

PRIOR_LIMIT = 1.5


@dataclass(frozen=True)
class Sent:
    """A message before its maps and vectors are inferred; constant unless the emitter changes.

    Attributes:
        emitted, received: z and f, (N, C, h, w). kernel: k, (N, 9, h, w).
        terms: local(k_E, z) + local(k_R, f). observation: O f'. carried: the gated features. energy: E, all
            (N, C, h, w).
    """

    emitted: Tensor
    received: Tensor
    kernel: Tensor
    terms: Tensor
    observation: Tensor
    carried: Tensor
    energy: Tensor


class InferredMessage(nn.Module):
    """One message: its kernels, its energy, and the joint update of its maps and vectors.

    Args:
        channels: C of the receiving scale. width: channels of z' and f'.
        rank: T. dilation: of the predicted kernels. sharpness: bound of tau. strength: initial value.
        selective: the message carries the receiver's own features.

    Probes, all with the number of the update as step: ``kernel`` (9, h, w), the kernel k of the message; ``energy``
    (C, h, w), -1..1; ``spatial_map_t`` (h, w), 0..1, and ``channel_vector_t`` (C,), positive with mean 1, for t = 1..T;
    ``structured`` (C, h, w), their sum of outer products, which multiplies the message.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        rank: int,
        dilation: int,
        *,
        sharpness: float,
        strength: float,
        selective: bool = False,
    ) -> None:
        super().__init__()
        self.selective = selective
        self.rank = rank
        self.dilation = dilation
        self.sharpness = sharpness
        # Both sides predict k and k_E; only the receiving side predicts k_R.
        self.kernels_emitting = _zeroed(kernel_prediction(width, 2, dilation))
        self.kernels_receiving = _zeroed(kernel_prediction(width, 3, dilation), centre=1.0)
        self.observation = nn.Conv2d(width, channels, 1)
        # The mean of C independent values varies by about 1 / sqrt(C).
        self.map_scale_log = nn.Parameter(torch.full((rank,), math.sqrt(channels) / 2).log())
        self.map_bias = nn.Parameter(torch.zeros(rank))
        self.temperature_logit = nn.Parameter(torch.zeros(rank))
        # Ranks that start equal would stay equal.
        self.prior_raw = nn.Parameter(torch.randn(rank, channels))
        self.strength = nn.Parameter(torch.tensor(float(strength)))

        probe = partial(Probe, "vista", dilation=dilation)
        self.probe_kernel = probe(KERNEL, "kernel", unit="predicted kernel weight")
        self.probe_energy = probe(CHANNEL_MAPS, "energy", bounds=(-1.0, 1.0), unit="support of place and channel")
        for t in range(1, rank + 1):
            self.add_module(f"probe_map_{t}", probe(MAP, f"spatial_map_{t}", bounds=(0.0, 1.0), unit="inferred map"))
            vector = partial(probe, VECTOR, bounds=(0.0, float(channels)), unit="inferred channel weight, mean 1")
            self.add_module(f"probe_vector_{t}", vector(f"channel_vector_{t}"))
        gate = (0.0, float(rank * channels))
        self.probe_structured = probe(CHANNEL_MAPS, "structured", bounds=gate, unit="gate of the message")

    def prior(self) -> Tensor:
        """Channel prior (T, C), within `PRIOR_LIMIT` on both sides of 0."""
        return PRIOR_LIMIT * torch.tanh(self.prior_raw)

    def first_vectors(self, pictures: int) -> Tensor:
        """The initial channel vectors (N, T, C) of the prior, mean 1."""
        prior = self.prior()
        return (prior.shape[1] * torch.softmax(prior, dim=1)).expand(pictures, -1, -1)

    def send(self, emitted: Tensor, emitted_less: Tensor, received: Tensor, received_less: Tensor) -> Sent:
        """Kernels and energy from z and f (N, C, h, w), z' and f' (N, width, h, w)."""
        of_receiver = self.kernels_receiving(received_less)
        shared = self.kernels_emitting(emitted_less) + of_receiver[:, : 2 * TAPS]
        terms = local(shared[:, TAPS:], emitted, self.dilation)
        terms = terms + local(of_receiver[:, 2 * TAPS :], received, self.dilation)
        observation = self.observation(received_less)
        unfinished = Sent(emitted, received, shared, terms, observation, carried=emitted, energy=emitted)
        return self._with_kernel(shared[:, :TAPS], unfinished)

    def _with_kernel(self, kernel: Tensor, sent: Sent) -> Sent:
        """The same message with another kernel k."""
        convolved = local(kernel, sent.emitted, self.dilation)
        energy = torch.tanh(standardised(sent.received * convolved + sent.terms) + sent.observation)
        carried = sent.received if self.selective else convolved
        return replace(sent, kernel=kernel, carried=carried, energy=energy)

    def forward(self, sent: Sent, vectors: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """One update: maps from the previous vectors (N, T, C), vectors from these maps.

        Returns:
            The gated message (N, C, h, w), before its strength, and the new vectors (N, T, C).
        """
        kernel = self.probe_kernel(sent.kernel, step)
        if kernel is not sent.kernel:  # an edit
            sent = self._with_kernel(kernel, sent)
        energy = self.probe_energy(sent.energy, step)
        maps = update_maps(energy, vectors, self.map_scale_log.exp(), self.map_bias)
        maps = self._each("probe_map", maps, step)
        temperature = self.sharpness * torch.sigmoid(self.temperature_logit)
        vectors = update_vectors(energy, maps, temperature, self.prior())
        vectors = self._each("probe_vector", vectors, step)
        return self.probe_structured(outer_sum(vectors, maps), step) * sent.carried, vectors

    def _each(self, probe: str, values: Tensor, step: int) -> Tensor:
        """Pass values (N, T, ...) through the probe of each rank."""
        seen = [getattr(self, f"{probe}_{t}")(v, step) for t, v in enumerate(values.unbind(dim=1), 1)]
        return torch.stack(seen, dim=1)


class InferredGraph(nn.Module):
    """Messages from several scales, each with several dilations, to the coarsest one.

    Args:
        channels: of each scale, fine to coarse; the last scale receives, and also sends to itself.
        width: channels from which kernels and observation term are predicted; None takes a quarter of the receiving.
        rank: T, outer products in each attention tensor.
        updates: number of mean-field updates.
        dilations: of the 3x3 kernels, in cells of the receiving scale; one message per dilation and emitter.
        scales: a name for each scale, e.g. its stride; None gives ``s1``, ``s2``, ...
        emitters: indices of the scales that send; None takes all.
        sharpness: bound of tau, and so of the ratio of the channels' weights.
        gain: total initial strength of the self messages, while the other scales start at 0; of all messages if
            `selective`.
        selective: see the head of this file.

    Probes: ``hidden`` (C, h, w), z after each update, and under ``messages.<scale>d<dilation>`` those of
    `InferredMessage`.

    Raises:
        ValueError: an empty list, duplicates, a size below 1, a name that is not an identifier, or an unknown emitter.
    """

    def __init__(
        self,
        channels: Sequence[int],
        width: int | None = None,
        rank: int = 2,
        updates: int = 3,
        dilations: Sequence[int] = (1, 2),
        *,
        scales: Sequence[str] | None = None,
        emitters: Sequence[int] | None = None,
        sharpness: float = 2.0,
        gain: float = 1.0,
        selective: bool = False,
    ) -> None:
        super().__init__()
        names = tuple(scales) if scales is not None else tuple(f"s{i}" for i in range(1, len(channels) + 1))
        senders = tuple(emitters) if emitters is not None else tuple(range(len(channels)))
        _check_lists(channels, dilations, names, senders)
        if min(*channels, *dilations, rank, updates, 1 if width is None else width) < 1 or sharpness <= 0:
            raise ValueError("channels, width, rank, updates, dilations and sharpness must be positive")
        self.channels, self.dilations = tuple(channels), tuple(dilations)
        self.updates, self.selective = updates, selective
        self.scales, self.emitters = names, senders
        receiving = self.channels[-1]
        hidden = width if width is not None else max(1, receiving // 4)
        own = len(self.channels) - 1
        self.project = nn.ModuleDict({names[e]: nn.Conv2d(self.channels[e], receiving, 1) for e in senders if e != own})
        self.reduce_emitting = nn.ModuleDict(
            {names[e]: nn.Sequential(nn.Conv2d(receiving, hidden, 1), nn.ReLU()) for e in senders}
        )
        self.reduce_receiving = nn.Sequential(nn.Conv2d(receiving, hidden, 1), nn.ReLU())
        self.messages = nn.ModuleDict()
        for e, d in product(senders, dilations):
            if selective:
                strength = gain / (len(dilations) * len(senders))
            else:
                strength = gain / len(dilations) if e == own else 0.0
            self.messages[f"{names[e]}d{d}"] = InferredMessage(
                receiving, hidden, rank, d, sharpness=sharpness, strength=strength, selective=selective
            )
        self.probe_hidden = Probe("vista", CHANNEL_MAPS, "hidden", unit="activation")

    def forward(self, features: Sequence[Tensor], updates: int | None = None) -> list[Tensor]:
        """The receiving scale's hidden features z (N, C, h, w) after update 1, 2, ...; the last is the result.

        Args:
            features: (N, channels[i], h_i, w_i), fine to coarse, in the order of `channels`.
            updates: number of updates; None takes the module's own.

        Raises:
            ValueError: scales or channels that do not fit the graph, or no update.
        """
        count = self.updates if updates is None else updates
        found = [tuple(x.shape[1:2]) for x in features]
        if found != [(c,) for c in self.channels] or any(x.ndim != 4 for x in features) or count < 1:
            raise ValueError(
                f"{count} updates on features {[tuple(x.shape) for x in features]}; channels are {self.channels}"
            )
        observed = features[-1]
        # On small maps the predicted kernels are several times faster in channels-last format.
        observed = observed.contiguous(memory_format=torch.channels_last)
        level = power(observed)
        received = observed / level
        received_less = self.reduce_receiving(received)
        sent: dict[str, Sent] = {}
        vectors = {name: self._message(name).first_vectors(len(observed)) for name in self.messages}
        hidden, results = observed, []
        for step in range(1, count + 1):
            total = torch.zeros_like(observed)
            for e in self.emitters:
                own = e == len(self.channels) - 1
                changed = step == 1 or (own and not self.selective)
                if changed:
                    emitted = hidden if own else self._projected(features[e], e, observed)
                    emitted = emitted / power(emitted)
                    less = self.reduce_emitting[self.scales[e]](emitted)
                for name in (f"{self.scales[e]}d{d}" for d in self.dilations):
                    message = self._message(name)
                    if changed:
                        sent[name] = message.send(emitted, less, received, received_less)
                    gated, vectors[name] = message(sent[name], vectors[name], step)
                    total = total + message.strength * gated
            hidden = self.probe_hidden(observed + level * total, step)
            results.append(hidden)
        return results

    def _message(self, name: str) -> InferredMessage:
        message = self.messages[name]
        assert isinstance(message, InferredMessage)
        return message

    def _projected(self, x: Tensor, emitter: int, receiving: Tensor) -> Tensor:
        """A finer scale at the receiving size and width."""
        pooled = F.adaptive_avg_pool2d(x, (receiving.shape[2], receiving.shape[3]))
        projected: Tensor = self.project[self.scales[emitter]](pooled.contiguous(memory_format=torch.channels_last))
        return projected


def _zeroed(convolution: nn.Conv2d, centre: float = 0.0) -> nn.Conv2d:
    """Zero weights and bias, except for the bias of the first kernel's centre tap."""
    nn.init.zeros_(convolution.weight)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
        with torch.no_grad():
            convolution.bias[CENTRE] = centre
    return convolution


def _check_lists(
    channels: Sequence[int], dilations: Sequence[int], names: Sequence[str], emitters: Sequence[int]
) -> None:
    for what, values in (("channels", channels), ("dilations", dilations), ("emitters", emitters), ("scales", names)):
        if not values or (what != "channels" and len(set(values)) < len(values)):
            raise ValueError(f"{what} must not be empty or hold duplicates: {list(values)}")
    if len(names) != len(channels) or not all(n.isidentifier() for n in names):
        raise ValueError(f"scales must be one identifier for each of {len(channels)} scales, not {list(names)}")
    if not set(emitters) <= set(range(len(channels))):
        raise ValueError(f"emitters {list(emitters)} are not among the {len(channels)} scales")
