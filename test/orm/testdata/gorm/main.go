// An app on GORM. Its models and settings are those of an app on a Heroku Connect
// schema; all else answers the test, one line of JSON for each command.
package main

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/shopspring/decimal"
	"golang.org/x/sync/errgroup"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

type Account struct {
	ID         int     `gorm:"primaryKey"`
	SFID       *string `gorm:"column:sfid"`
	Name       string
	ExternalID *string `gorm:"column:external_id__c"`
}

func (Account) TableName() string { return "salesforce.account" }

type Contact struct {
	ID                int     `gorm:"primaryKey"`
	SFID              *string `gorm:"column:sfid"`
	LastName          string  `gorm:"column:lastname"`
	Email             *string
	Title             *string
	Birthdate         *time.Time
	CreatedDate       *time.Time `gorm:"column:createddate"`
	SystemModstamp    *time.Time `gorm:"column:systemmodstamp"`
	AccountID         *string    `gorm:"column:accountid"`
	Account           *Account   `gorm:"foreignKey:AccountID;references:SFID"`
	AccountExternalID *string    `gorm:"column:account__external_id__c"`
	ExternalID        *string    `gorm:"column:external_id__c"`
	LastOp            *string    `gorm:"column:_hc_lastop;->"` // the database's own
	Err               *string    `gorm:"column:_hc_err;->"`
}

func (Contact) TableName() string { return "salesforce.contact" }

// SyncError is what Salesforce said when it refused the last change, or nil.
func (c Contact) SyncError() (said map[string]any, err error) {
	if c.Err != nil {
		err = json.Unmarshal([]byte(*c.Err), &said)
	}
	return said, err
}

type Pick string

const Blue Pick = "Blue"

type Every struct {
	ID         int             `gorm:"primaryKey"`
	ExternalID *string         `gorm:"column:external_id__c"`
	Currency   decimal.Decimal `gorm:"column:currency__c"`
	Date       time.Time       `gorm:"column:date__c;type:date"`
	Datetime   time.Time       `gorm:"column:datetime__c"`
	Time       *string         `gorm:"column:time__c"`
	Check      bool            `gorm:"column:check__c"`
	Int        int             `gorm:"column:int__c"`
	Pick       Pick            `gorm:"column:pick__c"`
	Text       string          `gorm:"column:text__c"`
}

func (Every) TableName() string { return "salesforce.every__c" }

type command struct {
	Do, Key, LastName, Field, Value, Parent, Child string
	ID                                             int
	Email                                          *string
	Fail                                           bool
	Keys, Values                                   []string
}

type answer map[string]any

type app struct {
	db   *gorm.DB
	held map[string]*Contact // as created, and not read since
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	address, err := url.Parse(os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	// Without "public": the schema of the tables is all that the app looks in.
	query := address.Query()
	query.Set("search_path", "salesforce")
	address.RawQuery = query.Encode()
	db, err := gorm.Open(postgres.Open(address.String()), &gorm.Config{PrepareStmt: true, Logger: logger.Discard})
	if err != nil {
		return err
	}
	pool, err := db.DB()
	if err != nil {
		return err
	}
	defer pool.Close()
	pool.SetMaxOpenConns(4)
	a := app{db: db, held: map[string]*Contact{}}
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for in.Scan() {
		var c command
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			return err
		}
		said, err := a.do(c)
		if err != nil {
			said = answer{"error": err.Error()}
		}
		if err := out.Encode(said); err != nil {
			return err
		}
	}
	return in.Err()
}

func (a app) do(c command) (answer, error) {
	switch c.Do {
	case "settings":
		var path string
		err := a.db.Raw("SHOW search_path").Scan(&path).Error
		return answer{"search_path": path}, err
	case "create":
		contact := &Contact{ID: c.ID, LastName: c.LastName, Email: c.Email, ExternalID: &c.Key}
		a.held[c.Key] = contact
		err := a.db.Create(contact).Error
		return answer{"id": contact.ID, "sfid": contact.SFID}, err
	case "create_returning":
		contact := &Contact{LastName: c.LastName, ExternalID: &c.Key}
		err := a.db.Clauses(clause.Returning{}).Create(contact).Error
		return answer{"id": contact.ID, "sfid": contact.SFID, "lastop": contact.LastOp}, err
	case "see":
		return a.see(c)
	case "set":
		contact, err := find(a.db, c.Key)
		if err != nil {
			return nil, err
		}
		return answer{}, a.db.Model(contact).Update(c.Field, c.Value).Error
	case "touch":
		contact, err := find(a.db, c.Key)
		if err != nil {
			return nil, err
		}
		return answer{}, a.db.Omit("Account").Save(contact).Error // of all columns
	case "resave":
		contact := a.held[c.Key]
		contact.Email = &c.Value
		return answer{}, a.db.Save(contact).Error
	case "delete":
		contact, err := find(a.db, c.Key)
		if err != nil {
			return nil, err
		}
		return answer{}, a.db.Delete(contact).Error
	case "family":
		return a.family(c)
	case "serial":
		return a.serial(c)
	case "types":
		return a.types(c)
	case "retype":
		var every Every
		if err := a.db.Where("external_id__c = ?", c.Key).First(&every).Error; err != nil {
			return nil, err
		}
		every.Currency = decimal.RequireFromString("0.1")
		every.Date = time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)
		every.Datetime = time.Date(2026, 11, 1, 1, 30, 0, 0, time.FixedZone("EDT", -4*60*60)).UTC() // the column knows no zone
		every.Check, every.Int, every.Pick, every.Text = false, -7, Blue, `zwölf \ "Boxkämpfer" => '🥊'`
		return answer{}, a.db.Save(&every).Error
	}
	return nil, fmt.Errorf("%q is nothing to do", c.Do)
}

func find(db *gorm.DB, key string) (*Contact, error) {
	var contact Contact
	err := db.Preload("Account").Where("external_id__c = ?", key).First(&contact).Error
	return &contact, err
}

func (a app) see(c command) (answer, error) {
	contact, err := find(a.db, c.Key)
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return answer{"found": false}, nil
	}
	if err != nil {
		return nil, err
	}
	said, err := contact.SyncError()
	var account *string
	if contact.Account != nil {
		account = contact.Account.ExternalID
	}
	return answer{
		"found": true, "id": contact.ID, "sfid": contact.SFID, "lastname": contact.LastName, "email": contact.Email, "title": contact.Title,
		"account": account, "lastop": contact.LastOp, "err": said,
	}, err
}

func (a app) family(c command) (answer, error) {
	abort := errors.New("abort")
	err := a.db.Transaction(func(tx *gorm.DB) error {
		if err := tx.Create(&Account{Name: c.Parent, ExternalID: &c.Parent}).Error; err != nil {
			return err
		}
		if err := tx.Create(&Contact{LastName: c.Child, ExternalID: &c.Child, AccountExternalID: &c.Parent}).Error; err != nil {
			return err
		}
		if c.Fail {
			return abort
		}
		return nil
	})
	if errors.Is(err, abort) {
		err = nil
	}
	return answer{}, err
}

func (a app) serial(c command) (answer, error) {
	var retries atomic.Int64
	var all errgroup.Group
	for _, key := range c.Keys {
		all.Go(func() error {
			for _, value := range c.Values {
				for {
					err := a.db.Transaction(func(tx *gorm.DB) error {
						contact, err := find(tx, key)
						if err != nil {
							return err
						}
						return tx.Model(contact).Update("title", value).Error
					}, &sql.TxOptions{Isolation: sql.LevelSerializable})
					if err == nil {
						break
					}
					var refused *pgconn.PgError
					if !errors.As(err, &refused) || refused.Code != "40001" {
						return err
					}
					retries.Add(1)
				}
			}
			return nil
		})
	}
	err := all.Wait()
	return answer{"retries": retries.Load()}, err
}

func (a app) types(c command) (answer, error) {
	var every Every
	err := a.db.Where("external_id__c = ?", c.Key).First(&every).Error
	if err != nil {
		return nil, err
	}
	kind := func(value any) string { return fmt.Sprintf("%T", value) }
	clock, err := time.Parse("15:04:05", *every.Time)
	return answer{
		"decimal":  []string{kind(every.Currency), every.Currency.String()},
		"date":     []string{kind(every.Date), every.Date.Format(time.DateOnly)},
		"datetime": []string{kind(every.Datetime), every.Datetime.Format(time.RFC3339)},
		"time":     []string{kind(*every.Time), clock.Format(time.TimeOnly)},
		"bool":     []string{kind(every.Check), fmt.Sprint(every.Check)},
		"int":      []string{kind(every.Int), fmt.Sprint(every.Int)},
		"enum":     []string{kind(every.Pick), string(every.Pick)},
		"text":     []string{kind(every.Text), every.Text},
	}, err
}
