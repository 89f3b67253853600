"""An app on Django.

Its models and settings are those of an app on a Heroku Connect schema; all else
answers the test, one line of JSON for each command.
"""

import datetime
import decimal
import json
import os
import sys
import threading
import traceback
from urllib.parse import unquote, urlparse

import django
from django.conf import settings

url = urlparse(os.environ["DATABASE_URL"])
database = {
    "ENGINE": "django.db.backends.postgresql",
    "HOST": url.hostname,
    "PORT": url.port,
    "USER": unquote(url.username),
    "PASSWORD": unquote(url.password or ""),
    "NAME": url.path.lstrip("/"),
    "CONN_MAX_AGE": 60,
}
settings.configure(
    DATABASES={
        "default": database,
        "serializable": {**database, "OPTIONS": {"isolation_level": 3}},  # psycopg2's SERIALIZABLE
    },
    USE_TZ=True,
    TIME_ZONE="America/New_York",
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
)
django.setup()

from django.db import OperationalError, connection, connections, models, transaction  # noqa: E402


class Account(models.Model):
    name = models.CharField(max_length=255)
    sfid = models.CharField(max_length=18, null=True, unique=True)
    external_id = models.CharField(db_column="external_id__c", max_length=64, null=True, unique=True)

    class Meta:
        app_label = "crm"
        managed = False
        db_table = '"salesforce"."account"'


class Contact(models.Model):
    lastname = models.CharField(max_length=80, null=True)
    email = models.CharField(max_length=80, null=True)
    title = models.CharField(max_length=128, null=True)
    birthdate = models.DateField(null=True)
    createddate = models.DateTimeField(null=True)
    systemmodstamp = models.DateTimeField(null=True)
    sfid = models.CharField(max_length=18, null=True, unique=True)
    account = models.ForeignKey(Account, to_field="sfid", db_column="accountid", null=True, on_delete=models.DO_NOTHING, db_constraint=False)
    account_external_id = models.CharField(db_column="account__external_id__c", max_length=64, null=True)
    external_id = models.CharField(db_column="external_id__c", max_length=64, null=True, unique=True)
    hc_lastop = models.CharField(db_column="_hc_lastop", max_length=32, null=True, editable=False)
    hc_err = models.TextField(db_column="_hc_err", null=True, editable=False)

    class Meta:
        app_label = "crm"
        managed = False
        db_table = '"salesforce"."contact"'

    @property
    def sync_error(self):
        """What Salesforce said when it refused the last change, or None."""
        return json.loads(self.hc_err) if self.hc_err else None


class Every(models.Model):
    class Pick(models.TextChoices):
        RED = "Red"
        GREEN = "Green"
        BLUE = "Blue"

    external_id = models.CharField(db_column="external_id__c", max_length=64, null=True, unique=True)
    currency = models.DecimalField(db_column="currency__c", max_digits=18, decimal_places=2, null=True)
    date = models.DateField(db_column="date__c", null=True)
    datetime = models.DateTimeField(db_column="datetime__c", null=True)
    time = models.TimeField(db_column="time__c", null=True)
    check_ = models.BooleanField(db_column="check__c", null=True)
    int = models.IntegerField(db_column="int__c", null=True)
    pick = models.CharField(db_column="pick__c", max_length=255, choices=Pick.choices, null=True)
    text = models.CharField(db_column="text__c", max_length=255, null=True)

    class Meta:
        app_label = "crm"
        managed = False
        db_table = '"salesforce"."every__c"'


held = {}  # as created, and not read since


def do_settings(arg):
    with connection.cursor() as cursor:
        cursor.execute("SHOW search_path")
        return {"search_path": cursor.fetchone()[0]}


def do_create(arg):
    contact = Contact(id=arg.get("id"), lastname=arg["lastname"], email=arg.get("email"), external_id=arg["key"])
    contact.save()
    held[arg["key"]] = contact
    return {"id": contact.id, "sfid": contact.sfid}


def do_create_returning(arg):
    contact = Contact.objects.bulk_create([Contact(lastname=arg["lastname"], external_id=arg["key"])])[0]
    return {"id": contact.id, "sfid": contact.sfid}


def do_see(arg):
    contact = Contact.objects.select_related("account").filter(external_id=arg["key"]).first()
    if contact is None:
        return {"found": False}
    return {
        "found": True, "id": contact.id, "sfid": contact.sfid, "lastname": contact.lastname, "email": contact.email,
        "title": contact.title, "account": contact.account and contact.account.external_id,
        "lastop": contact.hc_lastop, "err": contact.sync_error,
    }


def do_set(arg):
    contact = Contact.objects.get(external_id=arg["key"])
    setattr(contact, arg["field"], arg["value"])
    contact.save()  # of all columns
    return {}


def do_touch(arg):
    Contact.objects.get(external_id=arg["key"]).save()
    return {}


def do_resave(arg):
    contact = held[arg["key"]]
    setattr(contact, arg["field"], arg["value"])
    contact.save()
    return {}


def do_delete(arg):
    Contact.objects.get(external_id=arg["key"]).delete()
    return {}


class Abort(Exception):
    pass


def do_family(arg):
    try:
        with transaction.atomic():
            Account.objects.create(name=arg["parent"], external_id=arg["parent"])
            Contact.objects.create(lastname=arg["child"], external_id=arg["child"], account_external_id=arg["parent"])
            if arg.get("fail"):
                raise Abort
    except Abort:
        pass
    return {}


def do_serial(arg):
    retries, failures = [], []

    def work(key):
        try:
            for value in arg["values"]:
                while True:
                    try:
                        with transaction.atomic(using="serializable"):
                            contact = Contact.objects.using("serializable").get(external_id=key)
                            contact.title = value
                            contact.save()
                        break
                    except OperationalError as err:
                        if getattr(err.__cause__, "pgcode", None) != "40001":
                            raise
                        retries.append(key)
        except Exception as err:
            failures.append(repr(err))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(key,)) for key in arg["keys"]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(failures)
    return {"retries": len(retries)}


def do_types(arg):
    every = Every.objects.get(external_id=arg["key"])

    def kind(value):
        return type(value).__name__

    return {
        "decimal": [kind(every.currency), str(every.currency)],
        "date": [kind(every.date), every.date.isoformat()],
        "datetime": [kind(every.datetime), every.datetime.replace(tzinfo=None).isoformat() + "Z"],  # the column knows no zone
        "time": [kind(every.time), every.time.isoformat()],
        "bool": [kind(every.check_), str(every.check_).lower()],
        "int": [kind(every.int), str(every.int)],
        "enum": [kind(Every.Pick(every.pick)), every.pick],
        "text": [kind(every.text), every.text],
    }


def do_retype(arg):
    every = Every.objects.get(external_id=arg["key"])
    every.currency = decimal.Decimal("0.1")
    every.date = datetime.date(2024, 2, 29)
    every.datetime = datetime.datetime(2026, 11, 1, 1, 30, tzinfo=datetime.timezone(datetime.timedelta(hours=-4)))
    every.check_ = False
    every.int = -7
    every.pick = Every.Pick.BLUE
    every.text = "zwölf \\ \"Boxkämpfer\" => '🥊'"
    every.save()
    return {}


for line in sys.stdin:
    arg = json.loads(line)
    try:
        answer = globals()["do_" + arg["do"]](arg)
    except Exception:
        answer = {"error": traceback.format_exc(limit=-4)}
    print(json.dumps(answer), flush=True)
