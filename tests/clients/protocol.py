"""How a script talks with the test that runs it: one JSON object a line; protocol.mjs says what they mean."""
import json
import os
import sys

settings = json.loads(os.environ["TOLLGATE_TEST_CLIENTS"])


def step(name):
    """Says that a step worked."""
    print(json.dumps({"step": name}), flush=True)


def ask(what, value):
    """Has the person open a URL (`authorize`, `logout`) or type a code (`device`); where the browser ended."""
    print(json.dumps({"ask": what, "value": value}), flush=True)
    return json.loads(sys.stdin.readline())


def must(condition, words):
    """Raises unless the condition holds; an assert would vanish under -O."""
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
