// Receives deliveries with Express: STATUSPULSE_SECRET=whsec_... PORT=8000 node express.mjs
import { createHmac, timingSafeEqual } from "node:crypto";
import express from "express";

const secret = process.env.STATUSPULSE_SECRET;
if (!secret?.startsWith("whsec_")) throw new Error("STATUSPULSE_SECRET is not set");

function isSigned(request) {
  const expected = Buffer.from(createHmac("sha256", secret).update(request.body).digest("hex"));
  // During a rotation there are two signatures: in one header, or in two.
  const names = ["X-StatusPulse-Signature", "X-StatusPulse-Signature-Next"];
  const given = names.map((name) => request.get(name) ?? "").join(",").split(",");
  return given.some((one) => {
    const bytes = Buffer.from(one);
    return bytes.length === expected.length && timingSafeEqual(bytes, expected);
  });
}

const app = express();
// The bytes as they came. express.json() before this route would parse them and drop the bytes.
app.post("/statuspulse", express.raw({ type: () => true, limit: "256kb" }), (request, response) => {
  if (!isSigned(request)) return response.sendStatus(401);
  const message = JSON.parse(request.body);
  if (message.event_type.startsWith("incident_")) console.log(message.event_type, message.incident_id);
  // Exactly 200: the handshake takes nothing else.
  response.sendStatus(200);
});
app.listen(Number(process.env.PORT ?? 8000), "127.0.0.1");
