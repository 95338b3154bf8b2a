// Verifies a delivery with the library of the Standard Webhooks project: npm install standardwebhooks.
import { readFileSync } from 'node:fs'
import { Webhook } from 'standardwebhooks'

// STATUSPULSE_SECRET=whsec_… node verify.mjs < request
try {
  const request = readFileSync(0)
  const [head, gap] = request.toString('latin1').match(/^[^]*?(\r?\n\r?\n)/) ?? ['', '']
  const lines = head.slice(0, head.length - gap.length).split(/\r?\n/)
  const headers = Object.fromEntries(
    lines.map((line) => line.match(/^([^:]*): *(.*)$/)).filter(Boolean).map(([, name, value]) => [name, value]),
  )
  // Returns the parsed event.
  new Webhook(process.env.STATUSPULSE_SECRET).verify(request.subarray(head.length), headers)
  console.log('ok')
} catch (error) {
  console.log(`refused: ${error.message}`)
  process.exitCode = 1
}
