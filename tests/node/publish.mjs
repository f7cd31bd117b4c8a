// Publishes one message and ends once it is acknowledged; a refusal is told on stderr, status 1.
//
//     node publish.mjs RELEASE URL QOS TOPIC PAYLOAD USERNAME PASSWORD
import { open } from "./client.mjs";

const [release, url, qos, topic, payload, username, password] = process.argv.slice(2);
try {
  const client = await open(release, url, { username, password });
  await client.publish(topic, payload, { qos: Number(qos) });
  await client.end();
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
