"""Watch every reading, status and command change as it is committed.

    python examples/watch.py "$TOKEN"
    python examples/watch.py "$TOKEN" --device bp-001

When the connection is lost it goes on where it stopped: each event carries a cursor, and
`?since=<cursor>` brings everything after it.
"""

import argparse
import json
import time
from urllib.parse import urlencode

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

RETRY_S = 1.0

parser = argparse.ArgumentParser()
parser.add_argument("token")
parser.add_argument("--url", default="ws://127.0.0.1:8004/ws/mqtt")
parser.add_argument("--device", help="only this device")
parser.add_argument("--count", type=int, help="end after so many events")
arguments = parser.parse_args()

headers = {"Authorization": f"Bearer {arguments.token}"}
query = {"device_id": arguments.device} if arguments.device else {}
seen = 0
while seen != arguments.count:
    try:
        url = f"{arguments.url}?{urlencode(query)}"
        with connect(url, additional_headers=headers) as websocket:
            print("watching", flush=True)
            for text in websocket:
                print(text, flush=True)
                query["since"] = json.loads(text)["cursor"]
                seen += 1
                if seen == arguments.count:
                    break
    except ConnectionClosed as closed:
        if closed.rcvd and closed.rcvd.code >= 4000:  # refused, as with HTTP: 4401 is 401
            raise SystemExit(f"{closed.rcvd.code} {closed.rcvd.reason}") from None
    except OSError as error:
        print(f"not connected: {error}", flush=True)
        time.sleep(RETRY_S)
