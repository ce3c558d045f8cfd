"""What the queue tells a page about its events."""

from __future__ import annotations

from gradio.queueing import Event, Queue
from gradio.server_messages import EstimationMessage, EventMessage, ProcessStartsMessage


def say_what_is_seen(queue: Queue) -> None:
    """Leave out where an event stands in the queue, for events whose progress the page does not show.

    At each such message Gradio's page copies the state of every component that any event shows or reads, and an upload
    sets off many hidden events.
    """
    send = queue.send_message

    def seen(event: Event, message: EventMessage) -> None:
        hidden = event.fn.show_progress == "hidden"
        if not (hidden and isinstance(message, EstimationMessage | ProcessStartsMessage)):
            send(event, message)

    queue.send_message = seen  # type: ignore[method-assign]
