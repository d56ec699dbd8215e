"""Read lists that come in pages, in the ways foreign systems page. A page that is short or empty says nothing about the end.

Each function yields items and asks for a page only when its items are wanted. A server that gives the same page for ever is
distinguished from one that has much to give by a bound on the pages.
"""

import re

MOST_PAGES = 1000
NEXT = re.compile(r'<([^<>]*)>[^,]*;\s*rel="?next"?', re.I)


def by_link(http, path, params=None, items=None):
    """Yield items of pages whose header Link leads to the next (GitHub, GitLab, Gitea); items: the member that holds them."""
    seen = set()
    url = path
    while url:
        answer = http.get(url, params)
        page = http.json_of(answer, dict if items else list)
        yield from members(http, page, items) if items else page
        found = NEXT.search(answer.headers.get("Link", ""))
        url, params = (found[1] if found else None), None
        guard(http, seen, url)


def by_next(http, path, params=None, items="values"):
    """Yield items of pages whose member `next` is the next page's URL, absent in the last (Bitbucket Cloud)."""
    seen = set()
    url = path
    while url:
        page = http.get_json(url, params)
        yield from members(http, page, items)
        url, params = page.get("next"), None
        guard(http, seen, url)


def by_start(http, path, params=None, items="values", limit=100):
    """Yield items of pages that say isLastPage and nextPageStart (Bitbucket Server); its own limit may be lower than ours."""
    seen = set()
    start = 0
    while start is not None:
        page = http.get_json(path, {**(params or {}), "start": start, "limit": limit})
        yield from members(http, page, items)
        start = None if page.get("isLastPage", True) else page.get("nextPageStart")
        guard(http, seen, start)


def by_total(http, path, params=None, items="values", limit=100):
    """Yield items of pages with startAt and total or isLast (JIRA); the server may give fewer than were asked for."""
    start = 0
    for _ in range(MOST_PAGES):
        page = http.get_json(path, {**(params or {}), "startAt": start, "maxResults": limit})
        found = members(http, page, items)
        yield from found
        start += len(found) or page.get("maxResults") or limit
        if page.get("isLast") or ("total" in page and start >= page["total"]) or ("total" not in page and not found):
            return
    raise http.bad_answer("its list does not end")


def by_token(http, path, params=None, items="values"):
    """Yield items of pages with nextPageToken, absent in the last (JIRA Cloud)."""
    seen = set()
    token = None
    while True:
        page = http.get_json(path, {**(params or {}), **({"nextPageToken": token} if token else {})})
        yield from members(http, page, items)
        token = None if page.get("isLast") else page.get("nextPageToken")
        if not token:
            return
        guard(http, seen, token)


def members(http, page, name):
    """Return the list a page holds under a name. Raises ForeignError where there is none."""
    found = page.get(name)
    if not isinstance(found, list):
        raise http.bad_answer(f"a page of a list has no '{name}'")
    return found


def guard(http, seen, mark):
    """Raise ForeignError when pages repeat themselves or never end."""
    if mark is not None and (mark in seen or len(seen) > MOST_PAGES):
        raise http.bad_answer("its list does not end")
    seen.add(mark)
