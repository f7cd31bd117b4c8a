// Connects with the npm package mqtt, publishes one message in each QoS to its own subscription, and
// prints what came back as one line of JSON.
//
//     node roundtrip.mjs RELEASE URL PROTOCOL_VERSION TOPIC
import { open } from "./client.mjs";

const [release, url, version, topic] = process.argv.slice(2);
const client = await open(release, url, {
  protocolVersion: Number(version),
  protocolId: version === "3" ? "MQIsdp" : "MQTT",
  clientId: `node-${process.pid}`,
});

const received = [];
const complete = new Promise((resolve) => {
  client.onMessage((name, payload, packet) => {
    received.push({ topic: name, payload: payload.toString(), qos: packet.qos });
    if (received.length === 3) resolve();
  });
});
const granted = await client.subscribe(`${topic}/#`, { qos: 2 });
for (const qos of [0, 1, 2]) {
  await client.publish(`${topic}/${qos}`, `message ${qos}`, { qos });
}
await complete;
await client.end();
console.log(JSON.stringify({ granted: granted.map((g) => g.qos), received }));
