"""The process of one contestant: it is told what to do line by line, and answers in JSON.

`race` starts one for each contestant, pinned and with its number of threads in the environment, so
that the contestants can take turns without sharing a thread pool, a cache of memory, or a setting.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from typing import Any

import numpy as np

from contestants import Contestant, contestant_class
from workload import Workload


def serve(name: str, device: str) -> None:
    """Answer the lines of standard input until it ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    contestant: Contestant | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        answer: dict[str, Any] = {}
        try:
            if asked["do"] == "open":
                described = asked["workload"]
                workload = Workload(**{**described, "layers": tuple(described["layers"])})
                chosen = contestant_class(name, device)
                answer["absent"] = chosen.why_absent(workload)
                if answer["absent"] is None:
                    contestant = chosen(workload, device)
            elif asked["do"] == "prove":
                assert contestant is not None
                np.savez(asked["path"], **contestant.prove())  # type: ignore[arg-type]
            elif asked["do"] == "take_turn":
                assert contestant is not None
                answer.update(dataclasses.asdict(contestant.take_turn(asked["steps"])))
            elif asked["do"] == "facts":
                assert contestant is not None
                answer.update(contestant.facts())
        except ImportError as error:
            answer["absent"] = f"not installed ({error})"
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve(*sys.argv[1:])
