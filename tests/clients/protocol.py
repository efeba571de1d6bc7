"""Protocol between a script and its test: one JSON object a line, as described in protocol.mjs."""
import json
import os
import sys

settings = json.loads(os.environ["TOLLGATE_TEST_CLIENTS"])


def step(name):
    """Reports that a step succeeded."""
    print(json.dumps({"step": name}), flush=True)


def ask(what, value):
    """Lets the user open a URL (`authorize`, `logout`) or type a code (`device`); returns the URL where the browser ended."""
    print(json.dumps({"ask": what, "value": value}), flush=True)
    return json.loads(sys.stdin.readline())


def must(condition, words):
    """Raises unless the condition holds. `assert` is not used because -O removes it."""
    if not condition:
        raise RuntimeError(words)


def refused(call, error):
    """Raises unless the call is refused with this OAuth error."""
    try:
        call()
    except Exception as caught:
        if getattr(caught, "error", None) == error:
            return
        raise
    raise RuntimeError(f"expected {error}")
