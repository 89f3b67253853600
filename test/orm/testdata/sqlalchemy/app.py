"""An app on SQLAlchemy.

Its models and settings are those of an app on a Heroku Connect schema; all else
answers the test, one line of JSON for each command.
"""

import concurrent.futures
import datetime
import decimal
import enum
import json
import os
import sys
import traceback

from sqlalchemy import Column, Date, DateTime, Enum, FetchedValue, ForeignKey, Integer, MetaData, String, Table, Text, create_engine, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import declarative_base, relationship, sessionmaker
from sqlalchemy.orm.attributes import flag_modified

engine = create_engine(
    os.environ["DATABASE_URL"].replace("postgres://", "postgresql://", 1),
    # Without "public": the schema of the tables is all that the app looks in.
    connect_args={"options": "-csearch_path=salesforce"},
    pool_size=4,
    future=True,
)
Session = sessionmaker(engine, future=True)
Serializable = sessionmaker(engine.execution_options(isolation_level="SERIALIZABLE"), future=True)
Base = declarative_base(metadata=MetaData(schema="salesforce"))


class Account(Base):
    __tablename__ = "account"

    id = Column(Integer, primary_key=True)
    sfid = Column(String(18), unique=True)
    name = Column(String(255))
    external_id__c = Column(String(64), unique=True)


class Contact(Base):
    __tablename__ = "contact"
    __mapper_args__ = {"eager_defaults": True}

    id = Column(Integer, primary_key=True)
    sfid = Column(String(18), unique=True)
    lastname = Column(String(80))
    email = Column(String(80))
    title = Column(String(128))
    birthdate = Column(Date)
    createddate = Column(DateTime)
    systemmodstamp = Column(DateTime)
    accountid = Column(String(18), ForeignKey(Account.sfid))  # between Salesforce ids; the database has no such key
    account__external_id__c = Column(String(64))
    external_id__c = Column(String(64), unique=True)
    hc_lastop = Column("_hc_lastop", String(32), server_default=FetchedValue(), server_onupdate=FetchedValue())
    hc_err = Column("_hc_err", Text, server_default=FetchedValue(), server_onupdate=FetchedValue())

    account = relationship(Account, viewonly=True)

    @property
    def sync_error(self):
        """What Salesforce said when it refused the last change, or None."""
        return json.loads(self.hc_err) if self.hc_err else None


class Pick(enum.Enum):
    RED = "Red"
    GREEN = "Green"
    BLUE = "Blue"


class Every(Base):
    """All columns as the database has them, but for the enum."""

    __table__ = Table(
        "every__c", Base.metadata,
        Column("pick__c", Enum(Pick, native_enum=False, values_callable=lambda picks: [p.value for p in picks])),
        autoload_with=engine,
    )


held = {}  # as created, and not read since


def find(session, arg):
    return session.execute(select(Contact).where(Contact.external_id__c == arg["key"])).scalar_one_or_none()


def do_settings(arg):
    with engine.connect() as connection:
        return {"search_path": connection.execute(text("SHOW search_path")).scalar_one()}


def do_create(arg):
    with Session(expire_on_commit=False) as session, session.begin():
        contact = Contact(id=arg.get("id"), lastname=arg["lastname"], email=arg.get("email"), external_id__c=arg["key"])
        session.add(contact)
    held[arg["key"]] = contact
    return {"id": contact.id, "sfid": contact.sfid, "lastop": contact.hc_lastop}


do_create_returning = do_create  # eager_defaults asks for what the server sets


def do_see(arg):
    with Session() as session:
        contact = find(session, arg)
        if contact is None:
            return {"found": False}
        return {
            "found": True, "id": contact.id, "sfid": contact.sfid, "lastname": contact.lastname, "email": contact.email,
            "title": contact.title, "account": contact.account and contact.account.external_id__c,
            "lastop": contact.hc_lastop, "err": contact.sync_error,
        }


def do_set(arg):
    with Session.begin() as session:
        setattr(find(session, arg), arg["field"], arg["value"])
    return {}


def do_touch(arg):
    with Session.begin() as session:
        contact = find(session, arg)
        flag_modified(contact, "lastname")
        flag_modified(contact, "email")
    return {}


def do_resave(arg):
    """As with an object from a cache: all that it holds is written."""
    with Session(expire_on_commit=False) as session, session.begin():
        contact = held[arg["key"]]
        session.add(contact)
        flag_modified(contact, "lastname")
        contact.sfid = contact.createddate = contact.systemmodstamp = None
        setattr(contact, arg["field"], arg["value"])
    return {}


def do_delete(arg):
    with Session.begin() as session:
        session.delete(find(session, arg))
    return {}


def do_family(arg):
    with Session() as session:
        session.add(Account(name=arg["parent"], external_id__c=arg["parent"]))
        session.add(Contact(lastname=arg["child"], external_id__c=arg["child"], account__external_id__c=arg["parent"]))
        session.flush()
        if arg.get("fail"):
            session.rollback()
        else:
            session.commit()
    return {}


def do_serial(arg):
    def work(key):
        retries = 0
        for value in arg["values"]:
            while True:
                try:
                    with Serializable.begin() as session:
                        find(session, {"key": key}).title = value
                    break
                except OperationalError as err:
                    if err.orig.pgcode != "40001":
                        raise
                    retries += 1
        return retries

    with concurrent.futures.ThreadPoolExecutor() as pool:
        return {"retries": sum(pool.map(work, arg["keys"]))}


def do_types(arg):
    with Session() as session:
        every = session.execute(select(Every).where(Every.external_id__c == arg["key"])).scalar_one()

        def kind(value):
            return type(value).__name__

        return {
            "decimal": [kind(every.currency__c), str(every.currency__c)],
            "date": [kind(every.date__c), every.date__c.isoformat()],
            "datetime": [kind(every.datetime__c), every.datetime__c.isoformat() + "Z"],
            "time": [kind(every.time__c), every.time__c.isoformat()],
            "bool": [kind(every.check__c), str(every.check__c).lower()],
            "int": [kind(every.int__c), str(every.int__c)],
            "enum": [kind(every.pick__c), every.pick__c.value],
            "text": [kind(every.text__c), every.text__c],
        }


def do_retype(arg):
    with Session.begin() as session:
        every = session.execute(select(Every).where(Every.external_id__c == arg["key"])).scalar_one()
        every.currency__c = decimal.Decimal("0.1")
        every.date__c = datetime.date(2024, 2, 29)
        every.datetime__c = datetime.datetime(2026, 11, 1, 5, 30)
        every.check__c = False
        every.int__c = -7
        every.pick__c = Pick.BLUE
        every.text__c = "zwölf \\ \"Boxkämpfer\" => '🥊'"
    return {}


for line in sys.stdin:
    arg = json.loads(line)
    try:
        answer = globals()["do_" + arg["do"]](arg)
    except Exception:
        answer = {"error": traceback.format_exc(limit=-4)}
    print(json.dumps(answer), flush=True)
