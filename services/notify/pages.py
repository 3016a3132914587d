"""What does a customer see who follows a link that is answered here?"""

from __future__ import annotations

import base64
from html import escape

PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")

_STYLE = (
    "body{font:1.1rem/1.6 system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem;color:#222}"
    "button{font:inherit;padding:.7rem 1.4rem;border:0;border-radius:.4rem;background:#1a4fd0;color:#fff}"
)


def _page(title: str, content: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{content}</body></html>"
    )


GONE = _page("This link does not work", "<p>It may have been cut off on its way. Copy all of it and try again.</p>")


def unsubscribe_page(token: str) -> str:
    """A form that posts to its own address: only pressing the button changes anything."""
    return _page(
        "Stop these messages?",
        "<p>Press the button, and you will get no more advertising from us this way.</p>"
        f'<form method="post" action="{escape(token)}"><button>Unsubscribe</button></form>',
    )


def unsubscribed_page() -> str:
    return _page("You are unsubscribed", "<p>It counts from this moment on.</p>")
