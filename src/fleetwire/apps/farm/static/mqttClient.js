// A small MQTT 3.1.1 client over WebSocket: what this page needs, and no more.
// It publishes with QoS 0 or 1 and subscribes with QoS 1.

const CONNECT = 0x10, PUBLISH = 0x30, SUBSCRIBE = 0x82, PINGREQ = 0xc0, DISCONNECT = 0xe0;
const CONNACK = 2, PUBLISHED = 3, PUBACK = 4, SUBACK = 9;
const KEEP_ALIVE_S = 30;
const MOST_LINES = 500;
const REFUSALS = {
  1: "unacceptable protocol version", 2: "client id refused", 3: "server unavailable",
  4: "bad user name or password", 5: "not authorized",
};
const encoder = new TextEncoder();
const decoder = new TextDecoder();

const text = (said) => {
  const bytes = encoder.encode(said);
  return [bytes.length >> 8, bytes.length & 255, ...bytes];
};

const packet = (first, body) => {
  const length = [];
  let rest = body.length;
  do {
    length.push((rest & 127) | (rest > 127 ? 128 : 0));
    rest >>= 7;
  } while (rest);
  return Uint8Array.from([first, ...length, ...body]);
};

class Client {
  constructor(url, username, password, hear) {
    this.hear = hear;
    this.received = new Uint8Array();
    this.number = 0;
    this.waiting = new Map();
    this.isOnline = false;
    this.socket = new WebSocket(url, "mqtt");
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.connect(username, password);
    this.socket.onmessage = (event) => this.take(new Uint8Array(event.data));
    this.socket.onclose = () => this.ended();
  }

  connect(username, password) {
    const flags = 2 | (username ? 128 : 0) | (username && password ? 64 : 0);
    const id = "page-" + crypto.getRandomValues(new Uint32Array(2)).join("-");
    this.send(packet(CONNECT, [
      ...text("MQTT"), 4, flags, 0, KEEP_ALIVE_S, ...text(id),
      ...(username ? text(username) : []), ...(username && password ? text(password) : []),
    ]));
    this.pinging = setInterval(() => this.send(packet(PINGREQ, [])), KEEP_ALIVE_S * 500);
  }

  send(bytes) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(bytes);
  }

  next(done) {
    this.number = (this.number % 65535) + 1;
    this.waiting.set(this.number, done);
    return [this.number >> 8, this.number & 255];
  }

  publish(topic, payload, qos) {
    const id = qos ? this.next(() => this.hear("acknowledged", topic)) : [];
    this.send(packet(PUBLISH | (qos << 1), [...text(topic), ...id, ...encoder.encode(payload)]));
    this.hear("published", topic, payload);
  }

  subscribe(filter) {
    const id = this.next((code) =>
      this.hear(code === 128 ? "subscription refused" : "subscribed", filter));
    this.send(packet(SUBSCRIBE, [...id, ...text(filter), 1]));
  }

  disconnect() {
    this.send(packet(DISCONNECT, []));
    this.socket.close();
  }

  ended() {
    clearInterval(this.pinging);
    this.isOnline = false;
    this.hear("offline");
  }

  // One WebSocket message may hold several packets, or a part of one.
  take(bytes) {
    const all = new Uint8Array(this.received.length + bytes.length);
    all.set(this.received);
    all.set(bytes, this.received.length);
    let from = 0;
    for (;;) {
      let length = 0, at = from + 1, shift = 0, byte = 128;
      while (byte & 128 && at < all.length) {
        byte = all[at++];
        length |= (byte & 127) << shift;
        shift += 7;
      }
      if (byte & 128 || at + length > all.length || from + 2 > all.length) break;
      this.heard(all[from], all.subarray(at, at + length));
      from = at + length;
    }
    this.received = all.slice(from);
  }

  heard(first, body) {
    const type = first >> 4;
    if (type === CONNACK && body[1] === 0) {
      this.isOnline = true;
      this.hear("online");
    } else if (type === CONNACK) {
      this.hear("refused", REFUSALS[body[1]] ?? `code ${body[1]}`);
      this.socket.close();
    } else if (type === PUBLISHED) {
      this.message(first, body);
    } else if (type === PUBACK || type === SUBACK) {
      const number = (body[0] << 8) | body[1];
      this.waiting.get(number)?.(body[2]);
      this.waiting.delete(number);
    }
  }

  message(first, body) {
    let at = 2 + ((body[0] << 8) | body[1]);
    const topic = decoder.decode(body.subarray(2, at));
    if ((first >> 1) & 3) {
      this.send(Uint8Array.from([PUBACK << 4, 2, body[at], body[at + 1]]));
      at += 2;
    }
    this.hear("received", topic, decoder.decode(body.subarray(at)));
  }
}

const [connection, subscription, message] = document.forms;
const state = document.getElementById("state");
const log = document.getElementById("log");
const disconnect = document.getElementById("disconnect");
let client = null;

const show = (what, ...said) => {
  const line = document.createElement("li");
  line.textContent = [new Date().toISOString(), what, ...said].join("  ");
  log.prepend(line);
  while (log.children.length > MOST_LINES) log.lastChild.remove();
};

const enable = (isOnline) => {
  state.value = isOnline ? "online" : "offline";
  state.dataset.state = state.value;
  connection.querySelector("button").disabled = isOnline;
  disconnect.disabled = !isOnline;
  for (const form of [subscription, message]) form.querySelector("button").disabled = !isOnline;
};

const submit = (form, work) => form.addEventListener("submit", (event) => {
  event.preventDefault();
  work(Object.fromEntries(new FormData(form)));
});

connection.url.value ||= `ws://${location.hostname || "localhost"}:9001/mqtt`;
submit(connection, ({ url, username, password }) => {
  client?.disconnect();
  try {
    const made = new Client(url, username, password, (what, ...said) => {
      if (made !== client) return;
      show(what, ...said);
      enable(made.isOnline);
    });
    client = made;
  } catch (error) {
    show("refused", error.message);
  }
});
submit(subscription, ({ filter }) => client.subscribe(filter));
submit(message, ({ topic, payload, qos }) => client.publish(topic, payload, Number(qos)));
disconnect.addEventListener("click", () => client.disconnect());
document.getElementById("clear").addEventListener("click", () => log.replaceChildren());
enable(false);
