// Verifies a delivery with nothing but Node (18 or later). Copy the function you need, and what it calls; the end of
// the file makes a program of it.
import { createHmac, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'

// Use this one if you can choose. It covers id and time as well as the body, so a recorded delivery that somebody
// sends again is refused after five minutes. `headers` are `req.headers`; `body` is the Buffer that came: parse later.
export function verifyStandard(secret, headers, body) {
  const { 'webhook-id': id = '', 'webhook-timestamp': time = '', 'webhook-signature': given = '' } = headers
  const key = Buffer.from(checked(secret).slice('whsec_'.length), 'base64')
  if (!/^\d{1,12}$/.test(time) || Math.abs(Date.now() / 1000 - time) > 300) {
    throw new Error('webhook-timestamp is not within five minutes of now')
  }
  const expected = 'v1,' + createHmac('sha256', key).update(`${id}.${time}.`).update(body).digest('base64')
  // Two for a day after a rotation, the new secret's and the old one's. One that fits is enough.
  if (!given.split(' ').some((one) => same(one, expected))) {
    throw new Error('webhook-signature does not match')
  }
}

// The product's own form, for whoever has it already: it covers the body alone, so it does not notice a replay.
export function verifyStatusPulse(secret, headers, body) {
  const expected = createHmac('sha256', checked(secret)).update(body).digest('hex')
  // A rotation of the style "split" has the new secret's digest in a header of its own.
  const given = [headers['x-statuspulse-signature'], headers['x-statuspulse-signature-next']].join(',')
  if (!given.split(',').some((one) => same(one, expected))) {
    throw new Error('X-StatusPulse-Signature does not match')
  }
}

// In constant time: `===` would tell by its duration how much of a guess was right.
function same(one, other) {
  const [a, b] = [Buffer.from(one), Buffer.from(other)]
  return a.length === b.length && timingSafeEqual(a, b)
}

// Anybody can sign with an empty key, which is what a setting that was forgotten amounts to.
function checked(secret) {
  if (!/^whsec_[A-Za-z0-9+/]{43}=$/.test(secret)) throw new Error('the secret is not whsec_ and 32 bytes in base64')
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
