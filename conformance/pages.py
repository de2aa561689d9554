"""Walking over pages by hand: what paginators do, for every operation that has pages."""


def all_pages(call, token_in, token_out, results, **parameters):
    """The elements of all pages; a token that repeats or an empty token on the last page is an error."""
    found, seen = [], set()
    while True:
        page = call(**parameters)
        found += page.get(results, [])
        token = page.get(token_out)
        assert token != "", "an empty token instead of none"
        if token is None:
            return found
        assert token not in seen, "the token does not move"
        seen.add(token)
        parameters[token_in] = token
