// Sends one call of each kind by RudderStack's client for Node: packages, address, key and user are the arguments.
import { createRequire } from 'node:module'

const [packages, dataPlaneUrl, writeKey, user] = process.argv.slice(2)
const module = createRequire(`${packages}/`)('@rudderstack/rudder-sdk-node')
const Analytics = module.default ?? module
const analytics = new Analytics(writeKey, { dataPlaneUrl, flushInterval: 200, gzip: true })

const id = (call) => ({ userId: user, messageId: `${user}-${call}` })
analytics.identify({ ...id('identify'), traits: { email: `${user}@example.com`, plan: 'gold' } })
analytics.track({ ...id('track'), event: 'Booked a Table', properties: { seats: 4 } })
analytics.page({ ...id('page'), name: 'Tea', properties: { url: 'https://shop.example/tea' } })
analytics.screen({ ...id('screen'), name: 'Menu' })
analytics.group({ ...id('group'), groupId: 'acme', traits: { plan: 'team' } })
analytics.alias({ ...id('alias'), previousId: 'anon-0' })
await analytics.flush()
process.exit(0)
