"""TDAM: the original constructors' arguments mapped onto ours. Defaults are the original's, not ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.parity.case import Case, NotUnderstoodError
from viz.models.networks.td_resnet import DEPTHS, TDResNetConfig

TECHNIQUES = {
    "top_attention_only": "top_only",
    "joint_top_bottom_concat_attention": "joint_concat",
    "joint_top_bottom_bilinear_attention": "joint_sum",
    "simple_mapping": "simple_mapping",
    "identity": "identity",
}
POOLINGS = {
    "avp": "avg",
    "mp": "max",
    "learn_pool_shared": "learned_shared",
    "learn_pool_unique": "learned_unique",
}
SEQUENCES = ("channel->spatial", "spatial->channel", "channel", "spatial")
# Two ways to write the same sum.
SPATIAL_METHODS = ("att_scale", "att_scale_alt_impl")
BLOCKS = {"BasicBlock": "basic", "Bottleneck": "bottleneck"}
MODELS = {
    **{f"tdresnet{depth}": how for depth, how in DEPTHS.items()},
    "tdresnet26": ("bottleneck", (2, 2, 2, 2)),
}

MODULE_DEFAULTS: dict[str, Any] = {
    "bottom_channels": None,
    "top_channels": None,
    "rep_reduction_tuple": ("r", 16),
    "rep_pooling_techniques": ("avp",),
    "rep_combine_technique": "sum",
    "spotlight_gen_technique": "top_attention_only",
    "spatial_pool_res": (8, 8),
    "operation_seq": "channel->spatial",
    "spatial_computation_method": "att_scale",
    "channel_nonlin": "sigmoid",
    "spatial_searchlight_nonlin": None,
    "dropout": 0,
}
_SEARCHLIGHT = {k for k in MODULE_DEFAULTS if k not in ("bottom_channels", "top_channels")}
# Arguments without effect on the numbers in evaluation mode.
_NEUTRAL = {
    "drop_rate",
    "drop_path_rate",
    "drop_block_rate",
    "drop_block",
    "drop_path",
    "zero_init_last_bn",
    "zero_init_residual",
    "pretrained",
    "use_bnt",
}
# Arguments that we have no other value for.
_FIXED: dict[str, Any] = {
    "in_chans": 3,
    "cardinality": 1,
    "groups": 1,
    "base_width": 64,
    "width_per_group": 64,
    "stem_width": 64,
    "stem_type": "",
    "replace_stem_pool": False,
    "output_stride": 32,
    "block_reduce_first": 1,
    "reduce_first": 1,
    "down_kernel_size": 1,
    "avg_down": False,
    "global_pool": "avg",
    "aa_layer": None,
    "attn_layer": None,
    "block_args": None,
    "dilation": 1,
    "first_dilation": None,
    "output_over_t_method": "pred_over_t",
}
_NETWORK = ("block", "layers", "num_classes", *(k for k in ("in_chans", "cardinality", "base_width", "stem_width")))
_BLOCK = ("inplanes", "planes", "stride", "downsample", "cardinality", "base_width", "reduce_first", "dilation")


def arguments(case: Case, positions: Sequence[str]) -> dict[str, Any]:
    """Keyword arguments of a build, its positional ones named by `positions`."""
    args, kwargs = case.build.get("args") or [], case.build.get("kwargs") or {}
    if len(args) > len(positions):
        raise NotUnderstoodError(f"{len(args)} positional arguments")
    named = dict(zip(positions, args, strict=False))
    if set(named) & set(kwargs):
        raise NotUnderstoodError(f"{sorted(set(named) & set(kwargs))} given twice")
    return {**named, **kwargs}


def searchlight(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Our `Searchlight` arguments (without channels) from the original's keywords, which may be incomplete."""
    k = {**MODULE_DEFAULTS, **kwargs}
    poolings = k["rep_pooling_techniques"]
    combine, channel = k["rep_combine_technique"], k["channel_nonlin"]
    reduction, spatial = k["rep_reduction_tuple"], k["spatial_searchlight_nonlin"]
    poolings = (poolings,) if isinstance(poolings, str) else poolings
    if not isinstance(poolings, list | tuple) or not poolings:
        raise NotUnderstoodError(f"rep_pooling_techniques {poolings!r}")
    if combine not in ("sum", "avg"):
        raise NotUnderstoodError(f"rep_combine_technique {combine!r}")
    if not isinstance(reduction, list | tuple) or len(reduction) != 2 or not isinstance(reduction[1], int):
        raise NotUnderstoodError(f"rep_reduction_tuple {reduction!r}")
    if k["spatial_computation_method"] not in SPATIAL_METHODS:
        raise NotUnderstoodError(f"spatial_computation_method {k['spatial_computation_method']!r}")
    if k["operation_seq"] not in SEQUENCES:
        raise NotUnderstoodError(f"operation_seq {k['operation_seq']!r}")
    grid = k["spatial_pool_res"]
    return {
        "technique": _one_of(TECHNIQUES, k["spotlight_gen_technique"], "spotlight_gen_technique"),
        "sequence": k["operation_seq"],
        "pooling": tuple(_one_of(POOLINGS, p, "rep_pooling_techniques") for p in poolings),
        "pool_grid": (grid, grid) if isinstance(grid, int) else tuple(grid),
        "combine": combine,
        # Any other name multiplies with the raw searchlight.
        "channel_nonlinearity": channel if channel in ("sigmoid", "softmax") else "none",
        # A spatial non-linearity that exists switches the spatial step off; another name changes nothing.
        "spatial": spatial not in ("sigmoid", "softmax"),
        **({"reduction": reduction[1]} if reduction[0] == "r" else {"width": reduction[1]}),
    }


def _one_of(table: Mapping[str, str], name: Any, what: str) -> str:
    if not isinstance(name, str) or name not in table:
        raise NotUnderstoodError(f"{what} {name!r}")
    return table[name]


def _check(kwargs: Mapping[str, Any], known: set[str]) -> None:
    unknown = set(kwargs) - known - _NEUTRAL - set(_FIXED)
    if unknown:
        raise NotUnderstoodError(f"keyword {sorted(unknown)}")
    other = [k for k, v in _FIXED.items() if k in kwargs and kwargs[k] != v]
    if other:
        raise NotUnderstoodError(f"{other[0]} = {kwargs[other[0]]!r}")


def module_arguments(case: Case) -> dict[str, Any]:
    """Arguments of our `Searchlight` for a case of kind ``module``."""
    case.only("build", {"class", "args", "kwargs"})
    if case.build.get("class") != "TD_Spotlight_Attention":
        raise NotUnderstoodError(f"class {case.build.get('class')!r}")
    kwargs = arguments(case, list(MODULE_DEFAULTS))
    unknown = set(kwargs) - set(MODULE_DEFAULTS)
    if unknown:
        raise NotUnderstoodError(f"keyword {sorted(unknown)}")
    channels = {k: kwargs.get(k) for k in ("bottom_channels", "top_channels")}
    if not all(isinstance(v, int) for v in channels.values()):
        raise NotUnderstoodError(f"channels {channels}")
    return {**channels, **searchlight(kwargs)}


def block_arguments(case: Case) -> dict[str, Any]:
    """Arguments of our `ResidualBlock` for a case of kind ``block``."""
    case.only("build", {"class", "args", "kwargs"})
    kwargs = arguments(case, _BLOCK)
    _check(kwargs, _SEARCHLIGHT | {*_BLOCK, "is_td_block", "time_steps", "m"})
    if not {"inplanes", "planes"} <= set(kwargs):
        raise NotUnderstoodError("a block without inplanes and planes")
    td = kwargs.get("is_td_block", False)
    return {
        "block": _one_of(BLOCKS, case.build.get("class"), "class"),
        "inputs": kwargs["inplanes"],
        "planes": kwargs["planes"],
        "stride": kwargs.get("stride", 1),
        "steps": kwargs.get("time_steps", 3) if td else 1,
        "feedback": kwargs.get("m", 2) if td else 0,
        "searchlight": searchlight(kwargs) if td else None,
    }


def network_config(case: Case) -> tuple[TDResNetConfig, tuple[int, ...]]:
    """Our configuration for a case of kind ``network``, and the last stage's blocks whose step count varies."""
    case.only("build", {"class", "model", "block", "layers", "num_classes", "args", "kwargs"})
    b = case.build
    if b.get("class") not in (None, "TD_ResNet") or ("model" in b and b["model"] not in MODELS):
        raise NotUnderstoodError(f"class {b.get('class')!r}, model {b.get('model')!r}")
    kwargs = {**{k: b[k] for k in ("block", "layers", "num_classes") if k in b}, **arguments(case, _NETWORK)}
    td = {"apply_td_at_layers_list", "apply_td_at_blocks_for_layers", "time_steps", "m"}
    over = {"output_over_t", "output_over_t_blocks"}
    _check(kwargs, (_SEARCHLIGHT - {"spatial_pool_res", "dropout"}) | {*_NETWORK} | td | over)
    block, layers = MODELS.get(b.get("model", ""), (None, None))
    if "block" in kwargs:
        block = _one_of(BLOCKS, kwargs["block"], "block")
    layers = kwargs.get("layers", layers)
    if block is None or layers is None or len(layers) != 4:
        raise NotUnderstoodError(f"block {block!r}, layers {layers!r}")
    stages = kwargs.get("apply_td_at_layers_list", (2, 3))
    lists = kwargs.get("apply_td_at_blocks_for_layers", [list(range(6))] * 4)
    if any(s not in range(4) or s >= len(lists) for s in stages):
        raise NotUnderstoodError(f"layers {stages} with blocks {lists}")
    how = searchlight(kwargs)
    if block == "bottleneck" and how["pooling"][-1].startswith("learned"):
        raise NotUnderstoodError("a learned pooling in Bottleneck blocks, where the grid depends on the stage")
    config = TDResNetConfig(
        block=block,
        layers=tuple(layers),
        num_classes=kwargs.get("num_classes", 1000),
        steps=kwargs.get("time_steps", 3),
        feedback=kwargs.get("m", 2),
        td_blocks={s: tuple(lists[s]) for s in stages},
        searchlight=how,
    )
    return config, tuple(kwargs.get("output_over_t_blocks", (0, 1, 2)))
