// Verifies a delivery in Node 18 or later, without packages. Copy the function you need and those it calls. The end of
// the file is a program for trying it out.
import { createHmac, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'

// Use this function if you can choose. The signature covers the id and the time as well as the body, so a replay is
// refused after five minutes. `headers` is `req.headers`. `body` is the Buffer as received: parse it afterwards.
export function verifyStandard(secret, headers, body) {
  const { 'webhook-id': id = '', 'webhook-timestamp': time = '', 'webhook-signature': given = '' } = headers
  const key = Buffer.from(checked(secret).slice('whsec_'.length), 'base64')
  if (!/^\d{1,12}$/.test(time) || Math.abs(Date.now() / 1000 - time) > 300) {
    throw new Error('webhook-timestamp is not within five minutes of now')
  }
  const expected = 'v1,' + createHmac('sha256', key).update(`${id}.${time}.`).update(body).digest('base64')
  // After a rotation, both the new and the old secret sign for 24 hours. One match is enough.
  if (!given.split(' ').some((one) => same(one, expected))) {
    throw new Error('webhook-signature does not match')
  }
}

// The product's own form, for receivers that already use it. It covers only the body, so it cannot detect a replay.
export function verifyStatusPulse(secret, headers, body) {
  const expected = createHmac('sha256', checked(secret)).update(body).digest('hex')
  // During a rotation with the style "split", a separate header has the new secret's digest.
  const given = [headers['x-statuspulse-signature'], headers['x-statuspulse-signature-next']].join(',')
  if (!given.split(',').some((one) => same(one, expected))) {
    throw new Error('X-StatusPulse-Signature does not match')
  }
}

// In constant time: the duration of `===` would reveal how much of a guess was right.
function same(one, other) {
  const [a, b] = [Buffer.from(one), Buffer.from(other)]
  return a.length === b.length && timingSafeEqual(a, b)
}

// Refuses a malformed secret. A missing setting is an empty secret, with which anyone can sign.
function checked(secret) {
  if (!/^whsec_[A-Za-z0-9+/]{32,86}={0,2}$/.test(secret)) throw new Error('the secret is not whsec_ and 24 to 64 bytes in base64')
  return secret
}

// STATUSPULSE_SECRET=whsec_… node verify.mjs < request
try {
  const request = readFileSync(0)
  const [head, gap] = request.toString('latin1').match(/^[^]*?(\r?\n\r?\n)/) ?? ['', '']
  const lines = head.slice(0, head.length - gap.length).split(/\r?\n/)
  const headers = Object.fromEntries(
    lines.map((line) => line.match(/^([^:]*): *(.*)$/)).filter(Boolean).map(([, name, value]) => [name.toLowerCase(), value]),
  )
  const body = request.subarray(head.length)
  verifyStandard(process.env.STATUSPULSE_SECRET, headers, body)
  verifyStatusPulse(process.env.STATUSPULSE_SECRET, headers, body)
  console.log('ok')
} catch (error) {
  console.log(`refused: ${error.message}`)
  process.exitCode = 1
}
