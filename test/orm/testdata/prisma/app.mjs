// An app on Prisma. Its models (schema.prisma) and settings are those of an app on
// a Heroku Connect schema; all else answers the test, one line of JSON for each
// command.

import { createInterface } from 'node:readline'
import { PrismaPg } from '@prisma/adapter-pg'
import client from './generated/index.js'

const { Prisma, PrismaClient } = client

// Without "public": the schema of the tables is all that the app looks in.
const adapter = new PrismaPg(
  { connectionString: process.env.DATABASE_URL, options: '-c search_path=salesforce', max: 16 },
  { schema: 'salesforce' },
)
const prisma = new PrismaClient({ adapter }).$extends({
  result: {
    contact: {
      // What Salesforce said when it refused the last change, or null.
      sync_error: { needs: { hc_err: true }, compute: ({ hc_err }) => JSON.parse(hc_err ?? 'null') },
    },
  },
})

const held = new Map() // as created, and not read since
const by = (arg) => ({ external_id__c: arg.key })

const app = {
  async settings() {
    const [row] = await prisma.$queryRaw`SELECT current_setting('search_path') AS search_path`
    return row
  },

  async create(arg) {
    const contact = await prisma.contact.create({ data: { id: arg.id ?? undefined, lastname: arg.lastname, email: arg.email, ...by(arg) } })
    held.set(arg.key, contact)
    return { id: contact.id, sfid: contact.sfid, lastop: contact.hc_lastop }
  },

  async create_returning(arg) {
    const [contact] = await prisma.contact.createManyAndReturn({ data: [{ lastname: arg.lastname, ...by(arg) }] })
    return { id: contact.id, sfid: contact.sfid, lastop: contact.hc_lastop }
  },

  async see(arg) {
    const contact = await prisma.contact.findUnique({ where: by(arg), include: { account: true } })
    if (!contact) return { found: false }
    const { id, sfid, lastname, email, title, hc_lastop: lastop, sync_error: err } = contact
    return { found: true, id, sfid, lastname, email, title, lastop, err, account: contact.account?.external_id__c }
  },

  async set(arg) {
    await prisma.contact.update({ where: by(arg), data: { [arg.field]: arg.value } })
  },

  async touch(arg) {
    const { lastname, email } = await prisma.contact.findUnique({ where: by(arg) })
    await prisma.contact.update({ where: by(arg), data: { lastname, email } })
  },

  // As with an object from a cache: all that it holds is written.
  async resave(arg) {
    const { id, ...all } = held.get(arg.key)
    delete all.sync_error
    await prisma.contact.update({ where: { id }, data: { ...all, [arg.field]: arg.value } })
  },

  async delete(arg) {
    await prisma.contact.delete({ where: by(arg) })
  },

  async family(arg) {
    const abort = new Error('abort')
    try {
      await prisma.$transaction(async (tx) => {
        await tx.account.create({ data: { name: arg.parent, external_id__c: arg.parent } })
        await tx.contact.create({ data: { lastname: arg.child, external_id__c: arg.child, account__external_id__c: arg.parent } })
        if (arg.fail) throw abort
      })
    } catch (err) {
      if (err !== abort) throw err
    }
  },

  async serial(arg) {
    let retries = 0
    const once = (key, title) =>
      prisma.$transaction(
        async (tx) => {
          const { id } = await tx.contact.findUniqueOrThrow({ where: by({ key }) })
          await tx.contact.update({ where: { id }, data: { title } })
        },
        { isolationLevel: Prisma.TransactionIsolationLevel.Serializable, maxWait: 30_000 },
      )
    await Promise.all(
      arg.keys.map(async (key) => {
        for (const value of arg.values) {
          for (;;) {
            try {
              await once(key, value)
              break
            } catch (err) {
              // The second is what a COMMIT may answer. Prisma then keeps its connection
              // until the transaction would have timed out.
              if (err.code !== 'P2034' && err.cause?.kind !== 'TransactionWriteConflict') throw err
              retries++
            }
          }
        }
      }),
    )
    return { retries }
  },

  async types(arg) {
    const every = await prisma.every__c.findUnique({ where: by(arg) })
    const kind = (value) => (Prisma.Decimal.isDecimal(value) ? 'Decimal' : value.constructor.name)
    const iso = (value) => value.toISOString().replace('.000', '')
    return {
      decimal: [kind(every.currency__c), every.currency__c.toFixed()],
      date: [kind(every.date__c), iso(every.date__c).slice(0, 10)],
      datetime: [kind(every.datetime__c), iso(every.datetime__c)],
      time: [kind(every.time__c), iso(every.time__c).slice(11, 19)],
      bool: [kind(every.check__c), String(every.check__c)],
      int: [kind(every.int__c), String(every.int__c)],
      enum: [kind(every.pick__c), every.pick__c],
      text: [kind(every.text__c), every.text__c],
    }
  },

  async retype(arg) {
    await prisma.every__c.update({
      where: by(arg),
      data: {
        currency__c: new Prisma.Decimal('0.1'),
        date__c: new Date('2024-02-29'),
        datetime__c: new Date('2026-11-01T01:30:00-04:00'),
        check__c: false,
        int__c: -7,
        pick__c: 'Blue',
        text__c: "zwölf \\ \"Boxkämpfer\" => '🥊'",
      },
    })
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const arg = JSON.parse(line)
  let answer
  try {
    answer = (await app[arg.do](arg)) ?? {}
  } catch (err) {
    answer = { error: `${err.stack}` }
  }
  console.log(JSON.stringify(answer))
}
await prisma.$disconnect()
