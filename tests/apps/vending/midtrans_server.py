"""A Midtrans of the test's own: answers in the shapes that its documentation records."""

import json
import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fleetwire.apps.vending.gateways import signature_of


class MidtransServer:
    """Listens on loopback. `requests` are (path, body); `is_broken` makes it answer nonsense."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.requests: list[tuple[str, Any]] = []
        self.transactions: dict[str, dict[str, str]] = {}
        self.is_broken = False
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def do_GET(self) -> None:
                self._answer(None)

            def _answer(self, body: Any) -> None:
                allowed = f"Basic {b64encode(f'{server.key}:'.encode()).decode()}"
                if self.headers["Authorization"] != allowed:
                    said = (401, {"status_code": "401", "status_message": "Access denied"})
                else:
                    server.requests.append((self.path, body))
                    said = server.answer(self.path, body)
                content = b"<html>" if server.is_broken else json.dumps(said[1]).encode()
                self.send_response(said[0])
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                return

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def answer(self, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        """Return (HTTP status, body) as the API does; errors are HTTP 200 with a status_code."""
        if path == "/snap/v1/transactions":
            order_id = body["transaction_details"]["order_id"]
            self._open(order_id, body["transaction_details"]["gross_amount"], "bank_transfer")
            url = f"https://app.sandbox.midtrans.com/snap/v2/vtweb/{order_id}"
            return 201, {"token": f"snap-{order_id}", "redirect_url": url}
        if path == "/v2/charge":
            details = body["transaction_details"]
            found = self._open(details["order_id"], details["gross_amount"], body["payment_type"])
            return 200, {
                **found,
                "status_code": "201",
                "status_message": "QRIS transaction is created",
                "qr_string": "00020101021226620014COM.GO-JEK.WWW",
                "actions": [
                    {
                        "name": "generate-qr-code",
                        "method": "GET",
                        "url": f"{self.url}/v2/qris/{found['transaction_id']}/qr-code",
                    }
                ],
            }
        _, _, order_id, verb = path.split("/")
        known = self.transactions.get(order_id)
        if known is None:
            message = "Transaction doesn't exist."
            return 404, {"status_code": "404", "status_message": message}
        if verb == "cancel":
            known["transaction_status"] = "cancel"
        elif verb == "refund":
            known["transaction_status"] = "refund"
        return 200, {**known, "status_message": "Success"}

    def pay(self, order_id: str) -> dict[str, str]:
        """Let the customer pay; return the notification."""
        found = self.transactions[order_id]
        found["transaction_status"] = "settlement"
        return found

    def _open(self, order_id: str, amount: int, payment_type: str) -> dict[str, str]:
        gross_amount = f"{amount}.00"
        self.transactions[order_id] = {
            "order_id": order_id,
            "transaction_id": f"mt-{order_id}",
            "transaction_status": "pending",
            "fraud_status": "accept",
            "payment_type": payment_type,
            "status_code": "200",
            "gross_amount": gross_amount,
            "currency": "IDR",
            "signature_key": signature_of(order_id, "200", gross_amount, self.key),
        }
        return self.transactions[order_id]
