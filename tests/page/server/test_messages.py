"""What the queue tells a page, and what it leaves out because the page would not show it."""

from __future__ import annotations

import gradio as gr
import pytest

from tests.page.server.client import Client
from viz.page.server.start import start
from viz.run.engine import Engine


def one_handler(show_progress: str) -> gr.Blocks:
    with gr.Blocks() as page:
        number, out = gr.Number(), gr.Number()
        number.change(lambda n: n + 1, number, out, show_progress=show_progress)
    return page.queue(max_size=None, api_open=False)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("show_progress", "told"),
    [("hidden", ["process_completed"]), ("full", ["estimation", "process_starts", "process_completed"])],
)
def test_a_place_in_the_queue_is_told_where_it_is_shown(show_progress: str, told: list[str]) -> None:
    with start(lambda engine: one_handler(show_progress), Engine("cpu"), port=0) as running:
        visitor = Client(running.url)
        assert visitor.join(0, [1]).status_code == 200
        messages = list(visitor.messages())
    assert messages[-1]["output"]["data"] == [2]
    assert [m["msg"] for m in messages] == told
