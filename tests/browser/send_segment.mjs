// Sends one call of each kind by Segment's client for Node: packages, address, key and user are the arguments.
import { createRequire } from 'node:module'

const [packages, host, writeKey, user] = process.argv.slice(2)
const { Analytics } = createRequire(`${packages}/`)('@segment/analytics-node')
const analytics = new Analytics({ writeKey, host, path: '/v1/batch', flushInterval: 200 })
const errors = []
analytics.on('error', (error) => errors.push(error))

const id = (call) => ({ userId: user, messageId: `${user}-${call}` })
analytics.identify({ ...id('identify'), traits: { email: `${user}@example.com`, plan: 'gold' } })
analytics.track({ ...id('track'), event: 'Booked a Table', properties: { seats: 4 } })
analytics.page({ ...id('page'), name: 'Tea', properties: { url: 'https://shop.example/tea' } })
analytics.screen({ ...id('screen'), name: 'Menu' })
analytics.group({ ...id('group'), groupId: 'acme', traits: { plan: 'team' } })
analytics.alias({ ...id('alias'), previousId: 'anon-0' })
await analytics.closeAndFlush()
if (errors.length) {
  console.error(errors)
  process.exit(1)
}
