"""Keep secrets out of what people read: output, error messages, logs."""

import json
import re
from urllib.parse import quote

MASK = "••••••"
SHORTEST = 4  # Masking shorter values would make every text unreadable and hide nothing.
IN_URL = re.compile(r"(?<=://)[^/@\s:]*:[^/@\s]+(?=@)")


def mask_urls(text):
    """Return a text in which no URL shows a password."""
    return IN_URL.sub(MASK, text)


class Masker:
    """Hides given secret values, as they are, percent-encoded and as JSON writes them, and the passwords of all URLs."""

    def __init__(self, secrets=()):
        values = {str(secret) for secret in secrets if secret}
        # A key of several lines shows up line by line.
        values |= {line for value in values for line in value.splitlines()}
        values |= {json.dumps(value, ensure_ascii=ascii)[1:-1] for value in values for ascii in (True, False)}
        values |= {quote(value, safe="") for value in values}
        self.values = sorted((value for value in values if len(value) >= SHORTEST), key=len, reverse=True)

    def __call__(self, text):
        """Return the text without the secrets."""
        for value in self.values:
            text = text.replace(value, MASK)
        return mask_urls(text)
