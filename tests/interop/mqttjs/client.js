// Publishes one message with MQTT.js and receives it: node client.js <host> <port> <protocol version> <QoS>
import assert from 'node:assert/strict'
import mqtt from 'mqtt'

const [host, port, version, level] = process.argv.slice(2)
const qos = Number(level)
const topic = `mqttjs/${version}/${level}`
const payload = 'grüße'

function connect (clientId, username) {
  return mqtt.connectAsync({
    host,
    port: Number(port),
    protocolVersion: Number(version),
    protocolId: version === '3' ? 'MQIsdp' : 'MQTT',
    clientId,
    username,
    password: 'demo',
    clean: true,
    reconnectPeriod: 0,
    connectTimeout: 10_000
  })
}

const deadline = setTimeout(() => {
  console.error('nothing received')
  process.exit(1)
}, 15_000)

const subscriber = await connect('subscriber', 'demo/service')
const received = new Promise((resolve) => {
  subscriber.on('message', (...message) => resolve(message))
})
const [granted] = await subscriber.subscribeAsync(topic, { qos })
assert.equal(granted.qos, qos)

const publisher = await connect('publisher', 'demo/device')
await publisher.publishAsync(topic, payload, { qos })

const [name, body, packet] = await received
assert.equal(name, topic)
assert.equal(body.toString(), payload)
assert.equal(packet.qos, qos)
assert.equal(packet.retain, false)
assert.equal(packet.dup, false)

await publisher.endAsync()
await subscriber.endAsync()
clearTimeout(deadline)
