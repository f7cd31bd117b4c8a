"""ClientIds: which device a client without credentials is, by how its app forms client ids."""

from collections.abc import Mapping

PLACE = "{device_id}"


class ClientIds:
    """The forms of client ids by app, such as `ontrak_tablet_{device_id}`."""

    def __init__(self, forms: Mapping[str, str]) -> None:
        self._forms = {app: form.split(PLACE) for app, form in forms.items()}

    def device_of(self, client_id: str) -> tuple[str, str] | None:
        """Return app and name of the device that a client calls itself, None if it names none."""
        for app, (head, tail) in self._forms.items():
            if client_id.startswith(head) and client_id.endswith(tail):
                name = client_id[len(head) : len(client_id) - len(tail)]
                if name:
                    return app, name
        return None
