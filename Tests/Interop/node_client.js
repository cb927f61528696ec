// One client of Debian's node-mqtt, steered by lines of JSON: options as the first argument, orders on stdin, what
// happened on stdout.
const mqtt = require('mqtt')
const { url, will, authority, ...options } = JSON.parse(process.argv[2])
const tell = (event) => process.stdout.write(JSON.stringify(event) + '\n')

if (will) options.will = { ...will, payload: Buffer.from(will.payload) }
if (authority) options.ca = require('fs').readFileSync(authority)
const client = mqtt.connect(url, { reconnectPeriod: 0, connectTimeout: 10000, ...options })
// The handler comes first: what waits for a durable session arrives right behind CONNACK.
client.on('message', (topic, payload, { qos, retain }) => tell({ event: 'message', topic, payload: payload.toString(), qos, retain }))
client.on('connect', ({ sessionPresent }) => tell({ event: 'connect', sessionPresent }))
client.on('error', (error) => tell({ event: 'error', error: String(error) }))
client.on('close', () => tell({ event: 'close' }))

const orders = {
  subscribe: ({ topic, qos }) => client.subscribe(topic, { qos }, (error, granted) => tell({ event: 'done', error, granted })),
  publish: ({ topic, payload, qos, retain }) => client.publish(topic, payload, { qos, retain }, (error) => tell({ event: 'done', error })),
  end: () => client.end(false, {}, () => process.exit(0)),
}
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const { order, ...rest } = JSON.parse(line)
  orders[order](rest)
})
