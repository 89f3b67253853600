// An app on Sequelize. Its models and settings are those of an app on a Heroku
// Connect schema; all else answers the test, one line of JSON for each command.

import { createInterface } from 'node:readline'
import { DataTypes, Sequelize, Transaction } from 'sequelize'

const sequelize = new Sequelize(process.env.DATABASE_URL, {
  logging: false,
  pool: { max: 4 },
  define: { schema: 'salesforce', timestamps: false, freezeTableName: true },
  // Without "public": the schema of the tables is all that the app looks in.
  dialectOptions: { options: '-c search_path=salesforce' },
})

const id = { type: DataTypes.INTEGER, primaryKey: true, autoIncrement: true }
const sfid = { type: DataTypes.STRING(18), unique: true }
const key = { type: DataTypes.STRING(64), unique: true, field: 'external_id__c' }

const Account = sequelize.define('account', { id, sfid, key, name: DataTypes.STRING })

const Contact = sequelize.define('contact', {
  id,
  sfid,
  key,
  lastname: DataTypes.STRING(80),
  email: DataTypes.STRING(80),
  title: DataTypes.STRING(128),
  birthdate: DataTypes.DATEONLY,
  createddate: DataTypes.DATE,
  systemmodstamp: DataTypes.DATE,
  accountid: DataTypes.STRING(18),
  accountKey: { type: DataTypes.STRING(64), field: 'account__external_id__c' },
  lastop: { type: DataTypes.STRING(32), field: '_hc_lastop' },
  hcErr: { type: DataTypes.TEXT, field: '_hc_err' },
  // What Salesforce said when it refused the last change, or null.
  syncError: {
    type: DataTypes.VIRTUAL,
    get() {
      return JSON.parse(this.hcErr ?? 'null')
    },
  },
})
Contact.belongsTo(Account, { foreignKey: 'accountid', targetKey: 'sfid', constraints: false })

const Every = sequelize.define('every__c', {
  id,
  key,
  currency__c: DataTypes.DECIMAL(18, 2),
  date__c: DataTypes.DATEONLY,
  datetime__c: DataTypes.DATE,
  time__c: DataTypes.TIME,
  check__c: DataTypes.BOOLEAN,
  int__c: DataTypes.INTEGER,
  pick__c: DataTypes.ENUM('Red', 'Green', 'Blue'),
  text__c: DataTypes.STRING,
})

const held = new Map() // as created, and not read since
const find = (arg) => Contact.findOne({ where: { key: arg.key }, include: Account, rejectOnEmpty: true })

const app = {
  async settings() {
    const [[row]] = await sequelize.query("SELECT current_setting('search_path') AS search_path")
    return row
  },

  async create(arg) {
    const contact = await Contact.create({ id: arg.id, lastname: arg.lastname, email: arg.email, key: arg.key })
    held.set(arg.key, contact)
    return { id: contact.id, sfid: contact.sfid, lastop: contact.lastop }
  },

  async create_returning(arg) {
    return await app.create(arg) // all columns come back
  },

  async see(arg) {
    const contact = await Contact.findOne({ where: { key: arg.key }, include: Account })
    if (!contact) return { found: false }
    const { id, sfid, lastname, email, title, lastop } = contact
    return { found: true, id, sfid, lastname, email, title, lastop, account: contact.account?.key, err: contact.syncError }
  },

  async set(arg) {
    await (await find(arg)).update({ [arg.field]: arg.value })
  },

  async touch(arg) {
    const contact = await find(arg)
    for (const name of ['lastname', 'email']) contact.changed(name, true)
    await contact.save()
  },

  // As with an object from a cache: all that it holds is written.
  async resave(arg) {
    const contact = held.get(arg.key)
    contact.set(arg.field, arg.value)
    for (const name of Object.keys(Contact.rawAttributes)) contact.changed(name, true)
    await contact.save()
  },

  async delete(arg) {
    await (await find(arg)).destroy()
  },

  async family(arg) {
    const t = await sequelize.transaction()
    await Account.create({ name: arg.parent, key: arg.parent }, { transaction: t })
    await Contact.create({ lastname: arg.child, key: arg.child, accountKey: arg.parent }, { transaction: t })
    await (arg.fail ? t.rollback() : t.commit())
  },

  async serial(arg) {
    let retries = 0
    const once = (key, title) =>
      sequelize.transaction({ isolationLevel: Transaction.ISOLATION_LEVELS.SERIALIZABLE }, async (transaction) => {
        const contact = await Contact.findOne({ where: { key }, transaction, rejectOnEmpty: true })
        await contact.update({ title }, { transaction })
      })
    await Promise.all(
      arg.keys.map(async (key) => {
        for (const value of arg.values) {
          for (;;) {
            try {
              await once(key, value)
              break
            } catch (err) {
              if (err.original?.code !== '40001') throw err
              retries++
            }
          }
        }
      }),
    )
    return { retries }
  },

  async types(arg) {
    const every = await Every.findOne({ where: { key: arg.key }, rejectOnEmpty: true })
    const kind = (value) => value.constructor.name
    return {
      decimal: [kind(every.currency__c), every.currency__c],
      date: [kind(every.date__c), every.date__c],
      datetime: [kind(every.datetime__c), every.datetime__c.toISOString().replace('.000', '')],
      time: [kind(every.time__c), every.time__c],
      bool: [kind(every.check__c), String(every.check__c)],
      int: [kind(every.int__c), String(every.int__c)],
      enum: [kind(every.pick__c), every.pick__c],
      text: [kind(every.text__c), every.text__c],
    }
  },

  async retype(arg) {
    const every = await Every.findOne({ where: { key: arg.key, pick__c: 'Green' }, rejectOnEmpty: true })
    await every.update({
      currency__c: '0.1',
      date__c: '2024-02-29',
      datetime__c: new Date('2026-11-01T01:30:00-04:00'),
      check__c: false,
      int__c: -7,
      pick__c: 'Blue',
      text__c: "zwölf \\ \"Boxkämpfer\" => '🥊'",
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
await sequelize.close()
