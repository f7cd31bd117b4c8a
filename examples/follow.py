"""Follow the devices of an organisation: how they are now, then every event as it is committed.

    python examples/follow.py "$TOKEN"
    python examples/follow.py "$TOKEN" --device medical/bp-1 --event 'command.*'

When the connection is lost, or we were too slow for it, it goes on where it stopped.
"""

import argparse
import json
import time

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

RETRY_S = 1.0

parser = argparse.ArgumentParser()
parser.add_argument("token")
parser.add_argument("--url", default="ws://127.0.0.1:8000/api/v1/realtime/ws")
parser.add_argument("--device", action="append", default=[])
parser.add_argument("--event", action="append", default=[])
parser.add_argument("--count", type=int, help="end after so many events")
arguments = parser.parse_args()

wish = {"type": "subscribe", "devices": arguments.device, "events": arguments.event}
seen = 0
while seen != arguments.count:
    try:
        with connect(arguments.url) as websocket:
            websocket.send(json.dumps({"type": "authenticate", "token": arguments.token}))
            websocket.send(json.dumps(wish))
            for text in websocket:
                told = json.loads(text)
                match told["type"]:
                    case "refused":
                        raise SystemExit(f"{told['status']} {told['detail']}")
                    case "snapshot":
                        for device in told["devices"]:
                            print(device["device_id"], device["status"], flush=True)
                    case "live":
                        print("live", flush=True)
                        wish["since"] = told["cursor"]
                    case "lagged":
                        wish["since"] = told["since"]
                        break  # what is missing is stored: come again for it
                    case "events":
                        for event in told["events"][: arguments.count and arguments.count - seen]:
                            print(event["event"], event["device_id"], event["data"], flush=True)
                            wish["since"] = event["cursor"]
                            seen += 1
                if seen == arguments.count:
                    break
    except ConnectionClosed as closed:
        if closed.rcvd and closed.rcvd.code >= 4000 and closed.rcvd.code != 4503:
            raise SystemExit(f"{closed.rcvd.code} {closed.rcvd.reason}") from None
    except OSError as error:
        print(f"not connected: {error}", flush=True)
        time.sleep(RETRY_S)
