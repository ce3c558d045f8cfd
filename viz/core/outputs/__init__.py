"""One file for each sort of answer, with its type as `OUTPUT`; `viz.core.output` finds them by this folder."""
