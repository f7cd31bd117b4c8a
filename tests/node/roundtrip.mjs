// Connects with the npm package mqtt, publishes one message in each QoS to its own subscription, and
// prints what came back as one line of JSON.
//
//     node roundtrip.mjs URL PROTOCOL_VERSION TOPIC
import mqtt from "mqtt";

const [url, version, topic] = process.argv.slice(2);
const client = await mqtt.connectAsync(url, {
  protocolVersion: Number(version),
  protocolId: version === "3" ? "MQIsdp" : "MQTT",
  clientId: `node-${process.pid}`,
  connectTimeout: 5000,
  reconnectPeriod: 0,
});

const received = [];
const complete = new Promise((resolve) => {
  client.on("message", (name, payload, packet) => {
    received.push({ topic: name, payload: payload.toString(), qos: packet.qos });
    if (received.length === 3) resolve();
  });
});
const granted = await client.subscribeAsync(`${topic}/#`, { qos: 2 });
for (const qos of [0, 1, 2]) {
  await client.publishAsync(`${topic}/${qos}`, `message ${qos}`, { qos });
}
await complete;
await client.endAsync();
console.log(JSON.stringify({ granted: granted.map((g) => g.qos), received }));
