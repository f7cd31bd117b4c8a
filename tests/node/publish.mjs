// Publishes one message and ends once it is acknowledged; a refusal is told on stderr, status 1.
//
//     node publish.mjs URL QOS TOPIC PAYLOAD USERNAME PASSWORD
import mqtt from "mqtt";

const [url, qos, topic, payload, username, password] = process.argv.slice(2);
try {
  const client = await mqtt.connectAsync(
    url,
    { username, password, connectTimeout: 5000, reconnectPeriod: 0 },
    false, // one attempt only
  );
  await client.publishAsync(topic, payload, { qos: Number(qos) });
  await client.endAsync();
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
