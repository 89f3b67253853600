# frozen_string_literal: true

# An app on ActiveRecord. Its models and settings are those of an app on a Heroku
# Connect schema; all else answers the test, one line of JSON for each command.

require "bigdecimal/util"
require "json"
require "active_record"

if ActiveRecord.respond_to?(:default_timezone=)
  ActiveRecord.default_timezone = :utc
else
  ActiveRecord::Base.default_timezone = :utc
end
# What is stored is UTC, what the app sees is its own zone.
Time.zone_default = Time.find_zone!("America/New_York")
ActiveRecord::Base.time_zone_aware_attributes = true

# Without "public": the schema of the tables is all that the app looks in.
url = URI(ENV.fetch("DATABASE_URL"))
url.query = [url.query, "schema_search_path=salesforce", "pool=4"].compact.join("&")
ActiveRecord::Base.establish_connection(url.to_s)

class Account < ActiveRecord::Base
  self.table_name = "account"
  self.inheritance_column = nil # Salesforce has fields named Type

  has_many :contacts, foreign_key: "accountid", primary_key: "sfid"
end

class Contact < ActiveRecord::Base
  self.table_name = "contact"

  belongs_to :account, foreign_key: "accountid", primary_key: "sfid", optional: true

  # What Salesforce said when it refused the last change, or nil.
  def sync_error
    _hc_err && JSON.parse(_hc_err)
  end
end

class Every < ActiveRecord::Base
  self.table_name = "every__c"
  enum pick__c: { red: "Red", green: "Green", blue: "Blue" }
end

class App
  def initialize
    @held = {} # as created, and not read since
  end

  def settings(_)
    { search_path: ActiveRecord::Base.connection.select_value("SHOW search_path") }
  end

  def create(arg)
    contact = Contact.create!(arg.slice("id", "lastname", "email").compact.merge("external_id__c" => arg["key"]))
    @held[arg["key"]] = contact
    { id: contact.id, sfid: contact.sfid }
  end

  # A bulk insert says what it wants to know of the rows.
  def create_returning(arg)
    made = Contact.insert!({ lastname: arg["lastname"], external_id__c: arg["key"] }, returning: %w[id sfid _hc_lastop]).first
    { id: made["id"], sfid: made["sfid"], lastop: made["_hc_lastop"] }
  end

  def see(arg)
    contact = find(arg) or return { found: false }
    { found: true, id: contact.id, sfid: contact.sfid, lastname: contact.lastname, email: contact.email, title: contact.title,
      account: contact.account&.external_id__c, lastop: contact._hc_lastop, err: contact.sync_error }
  end

  def set(arg)
    find(arg).update!(arg["field"] => arg["value"])
    {}
  end

  # A save of nothing new: AR sends what it believes to be changed.
  def touch(arg)
    contact = find(arg)
    contact.lastname_will_change!
    contact.email_will_change!
    contact.save!
    {}
  end

  def resave(arg)
    @held.fetch(arg["key"]).update!(arg["field"] => arg["value"])
    {}
  end

  def delete(arg)
    find(arg).destroy!
    {}
  end

  def family(arg)
    Contact.transaction do
      Account.create!(name: arg["parent"], external_id__c: arg["parent"])
      Contact.create!(lastname: arg["child"], external_id__c: arg["child"], account__external_id__c: arg["parent"])
      raise ActiveRecord::Rollback if arg["fail"]
    end
    {}
  end

  def serial(arg)
    retries = Queue.new
    arg["keys"].map do |key|
      Thread.new do
        arg["values"].each do |value|
          Contact.transaction(isolation: :serializable) { Contact.find_by!(external_id__c: key).update!(title: value) }
        rescue ActiveRecord::SerializationFailure
          retries << 1
          retry
        end
      ensure
        ActiveRecord::Base.connection_pool.release_connection
      end
    end.each(&:join)
    { retries: retries.size }
  end

  def types(arg)
    every = Every.find_by!(external_id__c: arg["key"])
    {
      decimal: [every.currency__c.class.name, every.currency__c.to_s("F")],
      date: [every.date__c.class.name, every.date__c.iso8601],
      datetime: [kind(every.datetime__c), every.datetime__c.utc.iso8601],
      time: [kind(every.time__c), every.time__c.utc.strftime("%H:%M:%S")],
      bool: [every.check__c.class.name, every.check__c.to_s],
      int: [every.int__c.class.name, every.int__c.to_s],
      enum: [every.green?.class.name, Every.pick__cs.fetch(every.pick__c)],
      text: [every.text__c.class.name, every.text__c]
    }
  end

  def retype(arg)
    Every.find_by!(external_id__c: arg["key"]).update!(
      currency__c: "0.1".to_d, date__c: Date.new(2024, 2, 29), datetime__c: Time.new(2026, 11, 1, 1, 30, 0, "-04:00"),
      check__c: false, int__c: -7, pick__c: :blue, text__c: "zwölf \\ \"Boxkämpfer\" => '🥊'"
    )
    {}
  end

  private

  # Such times say that they are of class Time, in some versions.
  def kind(value)
    value.is_a?(ActiveSupport::TimeWithZone) ? "TimeWithZone" : value.class.name
  end

  def find(arg)
    Contact.find_by(external_id__c: arg["key"])
  end
end

app = App.new
$stdout.sync = true
$stdin.each_line do |line|
  arg = JSON.parse(line)
  begin
    answer = app.public_send(arg.fetch("do"), arg)
  rescue StandardError => e
    answer = { error: "#{e.class}: #{e.message}\n#{e.backtrace.first(5).join("\n")}" }
  end
  $stdout.puts(answer.to_json)
end
