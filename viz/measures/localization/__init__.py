"""Evaluation of data sets by the localization protocol: resumable, on one process or many.

from pathlib import Path
from viz.datasets import open_dataset
from viz.measures.localization import Options, evaluate, plan, sources_of
made = plan(["NAME", "OTHER"], open_dataset("DIR", "val"), Options(sources_of(["cam", "attention"])))
result = evaluate(made, Path("result.json.rows"))  # the same call resumes an interrupted run
"""

from viz.measures.localization.options import Options, Plan, sources_of
from viz.measures.localization.results import Result, from_bytes, to_bytes
from viz.measures.localization.run import evaluate, plan, some_of

__all__ = ["Options", "Plan", "Result", "evaluate", "from_bytes", "plan", "some_of", "sources_of", "to_bytes"]
