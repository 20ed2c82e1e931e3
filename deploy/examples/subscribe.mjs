// The same subscriber in Node with amqplib: npm install amqplib; AMQP_URL=amqp://… node subscribe.mjs
import amqp from "amqplib";

const connection = await amqp.connect(process.env.AMQP_URL);
const channel = await connection.createChannel();
await channel.assertQueue("sms-gateway", { durable: true, arguments: { "x-queue-type": "quorum" } });
await channel.bindQueue("sms-gateway", "agent.events", "text.#"); // {channel_type}.{channel}.{type}
await channel.prefetch(100);

const seen = new Set(); // in earnest: a table with a time to live
await channel.consume("sms-gateway", (message) => {
  const { messageId, type, headers } = message.properties;
  if (!seen.has(messageId)) {
    seen.add(messageId);
    const event = JSON.parse(message.content);
    if (type === "new-message") console.log(`${headers.event_id} … ${event.message}`);
    if (type === "interaction-complete") console.log(`${headers.event_id} ✓ ${event.full_message}`);
    if (type === "bridge-voided") console.log(`${headers.event_id} ✗ forget stream ${event.stream ?? "before " + event.before}`);
    if (type === "bridge-failed") console.log(`${headers.event_id} ✗ ${event.reason}: ${event.error}`);
  }
  channel.ack(message);
});
