"""A visitor without a browser: uploads, asks handlers and reads their answers as the page's own script does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from viz.models.paths import bundled

API = "/gradio_api"
PANDA = bundled("assets") / "panda.jpg"


class Client:
    """One session. `post` and `get` take paths of the page."""

    def __init__(self, url: str, session: str = "visitor", **headers: str) -> None:
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=60, headers=headers)
        self.session = session

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.http.get(path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.http.post(path, **more)

    def upload(self, *files: Path) -> httpx.Response:
        return self.post(f"{API}/upload", files=[("files", (f.name, f.read_bytes())) for f in files])

    def uploaded(self, file: Path = PANDA) -> dict[str, Any]:
        """Upload a file; what the browser then sends as its value."""
        answer = self.upload(file)
        assert answer.status_code == 200, answer.text
        return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}, "orig_name": file.name}

    def join(self, number: int, data: list[Any], **more: Any) -> httpx.Response:
        body = {"fn_index": number, "data": data, "session_hash": self.session, "event_data": None, **more}
        return self.post(f"{API}/queue/join", json=body)

    def messages(self) -> Iterator[dict[str, Any]]:
        """What the queue tells this session, up to the first answer."""
        with self.http.stream("GET", f"{API}/queue/data", params={"session_hash": self.session}) as lines:
            for line in lines.iter_lines():
                if line.startswith("data: "):
                    message = json.loads(line[6:])
                    yield message
                    if message["msg"] == "process_completed":
                        return
        raise AssertionError("The stream ended without an answer.")

    def answer(self, number: int, data: list[Any]) -> dict[str, Any]:
        """What a handler answers, from the queue."""
        joined = self.join(number, data)
        assert joined.status_code == 200, joined.text
        return list(self.messages())[-1]
