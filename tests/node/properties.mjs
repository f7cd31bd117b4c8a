// Publishes a message with the properties of MQTT 5 to its own subscription; prints, as one line of
// JSON, those it came back with.
//
//     node properties.mjs RELEASE URL TOPIC
import { open } from "./client.mjs";

const [release, url, topic] = process.argv.slice(2);
const client = await open(release, url, { protocolVersion: 5, clientId: `node-${process.pid}` });
const received = new Promise((resolve) => {
  client.onMessage((_name, _payload, packet) => resolve(packet.properties));
});
await client.subscribe(topic, { qos: 1, properties: { subscriptionIdentifier: 7 } });
await client.publish(topic, "x", {
  qos: 1,
  properties: {
    payloadFormatIndicator: true,
    messageExpiryInterval: 3600,
    responseTopic: `${topic}/answer`,
    correlationData: Buffer.from([0, 255]),
    contentType: "text/plain",
    userProperties: { name: ["first", "second"] },
  },
});
const properties = await received;
await client.end();
properties.correlationData = [...properties.correlationData];
console.log(JSON.stringify(properties));
