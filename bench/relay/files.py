"""Open files: each connection is one, on the server's side and on the generator's."""

import resource

OTHER_FILES = 200  # the database, logs, listeners, and what the loads themselves open


def allow_connections(wanted: int) -> int:
    """Raise the limit of open files for this process and those it starts, as far as it may.

    Returns how many connections of those wanted are then possible.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return wanted
    return min(wanted, soft - OTHER_FILES)
