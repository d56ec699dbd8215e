"""Find the error code and message in a foreign system's answer, whatever its shape; never HTML, never a secret."""

import json
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST = 300
SPACE = re.compile(r"\s+")
LONGEST_WAIT_S = 86_400


def code_and_message(answer, mask):
    """Return (code, message) of an error's answer, each None where the system gave none; `mask` hides our secrets."""
    kind = answer.headers.get("Content-Type", "").split(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            code, message = of_json(json.loads(answer.body))
        except (ValueError, RecursionError):
            code = message = None
    else:
        code, message = None, answer.headers.get("X-Error")  # Jenkins explains itself there.
        if message is None and kind == "text/plain":
            message = answer.body[: LONGEST * 4].decode("utf-8", "replace")
    return (short(code, mask) if code else None), (short(message, mask) if message else None)


def of_json(document):
    """Return (code, message) of the error shapes of Atlassian's, GitHub's, GitLab's, Gitea's and JFrog's systems."""
    if not isinstance(document, dict):
        return None, None
    messages = [text_of(document[name]) for name in ("message", "error", "detail") if document.get(name)]
    messages += [text_of(document[name]) for name in ("errorMessages", "errors") if document.get(name)]
    code = document.get("code")
    for item in document.get("errors") if isinstance(document.get("errors"), list) else []:
        if isinstance(item, dict):
            code = code or item.get("exceptionName") or item.get("code")
    if isinstance(code, str):
        code = code.rpartition(".")[2]
    return (str(code) if code else None), "; ".join(filter(None, dict.fromkeys(messages)))


def text_of(value):
    """Return the words in a part of an error: a text, a list of them, or an object that has a message or names fields."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "; ".join(filter(None, map(text_of, value)))
    if isinstance(value, dict):
        if value.get("message"):
            return ": ".join(filter(None, (text_of(value["message"]), text_of(value.get("detail")))))
        if value.get("resource") and value.get("field"):
            return f"{value.get('field')}: {value.get('code')}"
        return "; ".join(f"{name}: {text_of(item)}" for name, item in value.items() if text_of(item))
    return ""


def short(text, mask):
    """Return a text as one line of bounded length, without tags and secrets."""
    line = SPACE.sub(" ", re.sub(r"<[^<>]*>", " ", mask(str(text)))).strip()
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def retry_after(headers):
    """Return the whole seconds a system wants to be left alone, or None where it gives no number one can use."""
    value = headers.get("Retry-After")
    moment = now = datetime.now(UTC)
    if value and value.strip().isdecimal():
        return min(int(value), LONGEST_WAIT_S)
    try:
        if value:
            moment = parsedate_to_datetime(value)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        elif headers.get("X-RateLimit-Remaining") == "0":
            moment = datetime.fromtimestamp(int(headers.get("X-RateLimit-Reset", "")), UTC)
        else:
            return None
    except (ValueError, OverflowError, OSError):
        return None
    return max(0, min(int((moment - now).total_seconds()) + 1, LONGEST_WAIT_S))
