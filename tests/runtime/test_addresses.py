"""Where people are told that everything is."""

from fleetwire.kit import App, Listener
from fleetwire.runtime.addresses import urls
from fleetwire.settings.loading import load


def test_each_app_is_told_where_its_own_document_is() -> None:
    alone = App("alone", listener=Listener(1, "Alone"))
    people = App("people", listener=Listener(2, "People"))
    devices = App("devices", listener=Listener(2, "Devices"), publishes=["d/{device_id}"])
    ports = {
        "platform": 80, "alone": 1, "people": 2, "devices": 2, "devices.coap": 3, "mqtt": 4
    }  # fmt: skip
    told = dict(urls(load({}), [alone, people, devices], ports))
    assert told["Platform"] == "http://127.0.0.1:80/"
    assert told["Alone"] == "http://127.0.0.1:1/docs"
    assert told["Devices"] == "http://127.0.0.1:2/docs"
    assert told["People"] == "http://127.0.0.1:2/people/docs"
    assert told["Devices, CoAP"] == "coap://127.0.0.1:3"
