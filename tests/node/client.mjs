// The npm package mqtt in either of its releases, behind promises: release 4 has callbacks alone.
import { promisify } from "node:util";
import mqtt5 from "mqtt";
import mqtt4 from "mqtt4";

// Connects once; rejects with what the server says, or when it just closes.
export async function open(release, url, options) {
  const mqtt = release === "4" ? mqtt4 : mqtt5;
  const client = mqtt.connect(url, { connectTimeout: 5000, reconnectPeriod: 0, ...options });
  await new Promise((resolve, reject) => {
    client.once("connect", resolve);
    client.once("error", reject);
    client.once("close", () => reject(new Error("closed before CONNACK")));
  });
  return {
    onMessage: (seen) => client.on("message", seen),
    subscribe: promisify(client.subscribe.bind(client)),
    publish: promisify(client.publish.bind(client)),
    end: () => promisify(client.end.bind(client))(false, {}),
  };
}
