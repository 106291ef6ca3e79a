// mapper-node is a microservice beside Weir: it takes what devices publish, publishes it in the words of whoever works on it, and answers the device.
//
//   devices/<id>/up    {"temperature":21.5}      from a device
//   mapped/<id>        {"source":"<client identifier>","celsius":21.5,"time":"…"}
//   devices/<id>/down  {"accepted":true}         to that device alone
//
// It speaks weir.v1.json over two WebSockets: a consumer, which is kept what it misses, and a producer.
// Environment: WEIR_URL, MAPPER_USER, MAPPER_PASSWORD, MAPPER_SUBSCRIBER.
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import WebSocket from 'ws'

const url = process.env.WEIR_URL || 'http://127.0.0.1:8083'
const user = process.env.MAPPER_USER || 'demo/service'
const password = process.env.MAPPER_PASSWORD || 'demo'
const subscriber = process.env.MAPPER_SUBSCRIBER || 'mapper-node'

const patience = 10_000 // ms, for any one answer
const beat = 30_000 // ms between two pings
const hopeless = new Set(['topic_invalid', 'topic_forbidden', 'recipient_invalid', 'client_id_invalid', 'packet_too_large', 'message_too_large'])

const stop = new AbortController()
const stopped = new Promise(resolve => stop.signal.addEventListener('abort', () => resolve()))
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => stop.abort())
const say = what => console.error(`mapper-node: ${what}`)

const refused = ({ code, message }) => Object.assign(new Error(`${code}: ${message}`), { code })

// Fatal is what would be the same the next time.
class Fatal extends Error {}

async function token (name, subscription) {
  const response = await fetch(`${url}/notification2/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`, 'content-type': 'application/json' },
    body: JSON.stringify({ subscriber: name, subscription }),
    signal: AbortSignal.timeout(patience)
  })
  if (response.ok) return (await response.json()).token
  const why = `no token: ${response.status} ${await response.text()}`.trim()
  throw [400, 401, 403].includes(response.status) ? new Fatal(why) : new Error(why)
}

// open resolves with a socket that is open. Each of its frames goes to take, the first ones perhaps before that.
async function open (kind, name, subscription, take) {
  const address = `${url.replace(/^http/, 'ws')}/notification2/${kind}/?token=${await token(name, subscription)}`
  const socket = new WebSocket(address, 'weir.v1.json', { handshakeTimeout: patience })
  let alive = true
  const beating = setInterval(() => {
    if (!alive) return socket.terminate()
    alive = false
    socket.ping()
  }, beat)
  socket.on('pong', () => { alive = true })
  socket.on('message', data => take(JSON.parse(data), socket))
  socket.closed = new Promise(resolve => socket.once('close', (code, why) => {
    clearInterval(beating)
    resolve(`the ${kind}'s socket was closed: ${code} ${why}`)
  }))
  await new Promise((resolve, reject) => {
    socket.on('open', resolve).on('error', reject).on('unexpected-response', async (_, response) => {
      reject(new Error(`no ${kind}: ${response.statusCode} ${await text(response)}`.trim()))
      socket.terminate()
    })
  })
  return socket
}

// session maps until one of its sockets ends, or the program is to stop. What it has not acknowledged by then comes again.
async function session () {
  let seq = 0
  const publishes = new Map() // by seq: those without an answer
  const producer = await open('producer', 'mqttServicePublisher', '#', ({ ack, seq, error }) => {
    const one = publishes.get(ack ?? seq)
    if (!one) return say(refused(error).message)
    publishes.delete(ack ?? seq)
    error ? one.reject(refused(error)) : one.resolve()
  })
  const publish = (topic, to, body, metadata) => new Promise((resolve, reject) => {
    publishes.set(++seq, { resolve, reject })
    const payload = Buffer.from(JSON.stringify(body)).toString('base64')
    producer.send(JSON.stringify({ seq, topic, to, payload, metadata: { contentType: 'application/json', ...metadata } }))
  })

  const handle = ({ topic, payload, time, metadata: { clientId, correlationData } }) => {
    const id = topic.split('/')[1]
    const answer = body => clientId && publish(`devices/${id}/down`, clientId, body, { correlationData })
    const celsius = temperature(Buffer.from(payload, 'base64'))
    if (celsius === undefined) return answer({ accepted: false, error: 'the payload is not {"temperature":<number>}' })
    return Promise.all([publish(`mapped/${id}`, undefined, { source: clientId, celsius, time }), answer({ accepted: true })])
  }

  const busy = new Set() // messages that are not settled
  const take = async (message, socket) => {
    if (message.error) return say(refused(message.error).message)
    try {
      await handle(message)
      socket.send(JSON.stringify({ ack: message.id }))
    } catch (error) {
      const again = !hopeless.has(error.code)
      say(`${message.topic}: ${error.message}${again ? '; again in a second' : ''}`)
      if (again) await sleep(1000)
      socket.send(JSON.stringify(again ? { nak: message.id } : { ack: message.id }))
    }
  }

  let consumer
  try {
    consumer = await open('consumer', subscriber, 'devices/+/up', (message, socket) => {
      if (stop.signal.aborted) return // it comes again
      const one = take(message, socket)
      busy.add(one)
      one.finally(() => busy.delete(one))
    })
    say(`maps devices/+/up as ${user}`)
    const ended = Promise.race([consumer.closed, producer.closed])
    const why = await Promise.race([stopped, ended])
    if (why) throw new Error(why)
    await Promise.race([Promise.all(busy), ended, sleep(patience)])
  } finally {
    for (const socket of [consumer, producer]) socket?.close()
    await Promise.race([Promise.all([consumer?.closed, producer.closed]), sleep(1000)])
    for (const socket of [consumer, producer]) socket?.terminate()
  }
}

function temperature (payload) {
  try {
    const { temperature } = JSON.parse(payload)
    return typeof temperature === 'number' ? temperature : undefined
  } catch {
    return undefined
  }
}

let pause = 500 // ms
while (!stop.signal.aborted) {
  const begun = Date.now()
  try {
    await session()
  } catch (error) {
    say(error.cause?.message || error.message)
    if (error instanceof Fatal) process.exit(1)
    if (Date.now() - begun > 60_000) pause = 500
    await sleep(pause * (0.5 + Math.random() / 2), null, { signal: stop.signal }).catch(() => {})
    pause = Math.min(2 * pause, 30_000)
  }
}
process.exit(0)
