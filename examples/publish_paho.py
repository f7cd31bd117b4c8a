"""Publish one reading with paho-mqtt, as a device does, and wait for its acknowledgement.

    python examples/publish_paho.py bp-001 <the device's MQTT password>

The acknowledgement comes after the reading has been committed to the database.
"""

import argparse
import json
from datetime import UTC, datetime

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

parser = argparse.ArgumentParser()
parser.add_argument("device_id")
parser.add_argument("password")
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--port", type=int, default=1883)
arguments = parser.parse_args()

reading = {
    "device_id": arguments.device_id,
    "metric_type": "blood_pressure",
    "timestamp": datetime.now(UTC).isoformat(),
    "systolic": 121,
    "diastolic": 79,
    "heart_rate": 68,
    "unit": "mmHg",
}

client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=arguments.device_id)
client.username_pw_set(arguments.device_id, arguments.password)
client.connect(arguments.host, arguments.port)
client.loop_start()
message = client.publish(f"devices/{arguments.device_id}/data", json.dumps(reading), qos=1)
message.wait_for_publish(timeout=10)
print("stored" if message.is_published() else "not acknowledged")
client.disconnect()
client.loop_stop()
