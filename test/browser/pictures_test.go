package browser

import (
	"bytes"
	"cmp"
	"context"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"math"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"hcbridge/internal/status"
	"hcbridge/internal/web"
	"hcbridge/test/rig"
)

// most is how large a picture may be.
const most = 150_000

// The pictures of the README: both pages as they look, on a phone and on a desk.
func TestPictures(t *testing.T) {
	t.Parallel()
	addr := rig.FreeAddr(t)
	r := rig.New(t, "HC_OBJECTS=Account,Contact,Invoice__c", "HC_OBJECT_CONTACT_ACCESS=read_write", "HC_OBJECT_CONTACT_EXTERNAL_ID=External_Id__c",
		"HC_OBJECT_CONTACT_FIELDS=FirstName,LastName,Email,Phone,Title,AccountId", "HC_OBJECT_CONTACT_INDEXES=Email", "HC_HTTP_ADDR="+addr)
	r.Start()
	r.Synced()
	for _, page := range []struct{ name, addr, path, ready string }{
		{"status", example(t), "/", `document.querySelectorAll("#errors li").length === 2`},
		{"mapping", addr, "/mapping?object=Contact", `document.querySelector("#file")`},
	} {
		p := open(t, page.addr, "")
		for _, size := range []struct {
			name, scheme  string
			width, height int64
		}{
			{"1440", "light", 1440, 1080},
			{"390", "light", 390, 1400},
			{"1440-dark", "dark", 1440, 1080},
		} {
			p.size(size.width, size.height)
			p.scheme(size.scheme)
			p.visit(page.path)
			p.until("the page", page.ready)
			p.keep(page.name + "-" + size.name + ".png")
		}
	}
}

// keep takes a picture of the window and, if HCBRIDGE_SCREENSHOTS is set, puts it there, made
// small, which under the race detector takes longer than all else here.
func (b *tab) keep(name string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	b.must(err)
	full, err := png.Decode(bytes.NewReader(text))
	b.must(err)
	dir := os.Getenv("HCBRIDGE_SCREENSHOTS")
	if dir == "" {
		return
	}
	text = small(b.t, full)
	if len(text) > most {
		b.t.Errorf("%s has %d bytes, more than %d", name, len(text), most)
	}
	b.must(os.WriteFile(filepath.Join(dir, name), text, 0o644))
}

// small draws a picture with 256 colours: the most frequent ones of which no two
// are next to each other.
func small(t *testing.T, full image.Image) []byte {
	t.Helper()
	count := map[color.NRGBA]int{}
	for y := full.Bounds().Min.Y; y < full.Bounds().Max.Y; y++ {
		for x := full.Bounds().Min.X; x < full.Bounds().Max.X; x++ {
			c, _ := color.NRGBAModel.Convert(full.At(x, y)).(color.NRGBA)
			count[c]++
		}
	}
	var colors color.Palette
	near := map[[3]uint8]bool{}
	for _, c := range slices.SortedFunc(maps.Keys(count), func(x, y color.NRGBA) int { return cmp.Compare(count[y], count[x]) }) {
		if around := [3]uint8{c.R / 20, c.G / 20, c.B / 20}; !near[around] && len(colors) < 256 {
			near[around] = true
			colors = append(colors, c)
		}
	}
	few := image.NewPaletted(full.Bounds(), colors)
	draw.Draw(few, few.Bounds(), full, full.Bounds().Min, draw.Src)
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&out, few); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// example serves the status page of a bridge that has been at work for a day, and
// returns its address.
func example(t *testing.T) string {
	t.Helper()
	board := status.New()
	now := time.Now()
	board.Connection(func(c *status.Connection) {
		c.State, c.Role, c.Streaming, c.WriteAlgorithm = status.Idle, "active", "connected", "ordered"
		c.OrgID, c.Username, c.InstanceURL, c.APIVersion = "00D5g00000AbCdEEAV", "bridge@acme.com", "https://acme.my.salesforce.com", "64.0"
		c.APICalls = status.APICalls{Used: 21_408, Limit: 115_000, Budget: 92_000}
	})
	for _, o := range []status.Object{
		{Object: "Account", Mode: "streaming", ModeEffective: "streaming", State: status.DataSynced, Access: "read_write", RowsSalesforce: 48_210, RowsPostgres: 48_210, LagMS: 4, FailedWrites: 1},
		{Object: "Contact", Mode: "streaming", ModeEffective: "streaming", State: status.DataSynced, Access: "read_write", RowsSalesforce: 131_954, RowsPostgres: 131_954, PendingWrites: 3, FailedWrites: 1, LagMS: 6},
		{Object: "Invoice__c", Mode: "streaming", ModeEffective: "streaming", State: status.PollingSFBulk, Access: "read_only", RowsSalesforce: 84_300, RowsPostgres: 61_000, Loaded: 61_000, ToLoad: 84_300, LagMS: 1300},
		{Object: "Product2", Mode: "streaming", ModeEffective: "polling", State: status.DataSynced, Access: "read_only", RowsSalesforce: 1_204, RowsPostgres: 1_204, Note: "PushTopics do not support Product2: it is polled"},
	} {
		board.Object(o.Object, func(b *status.Object) { *b = o })
	}
	for minute := 24 * 60; minute > 0; minute-- {
		at := now.Add(-time.Duration(minute) * time.Minute)
		busy := 1.2 + math.Sin(float64(at.UTC().Hour())/24*2*math.Pi-2) + 0.5*math.Sin(float64(minute)/7)
		board.Object("Contact", func(o *status.Object) {
			o.Counters.RowsWritten += int64(40 * max(busy, 0.1))
			o.Counters.WritesSent += int64(18 * max(busy+0.3*math.Cos(float64(minute)/5), 0.1))
			if minute%9 == 4 {
				o.Counters.WritesFailed++
			}
		})
		board.Sample(at)
	}
	board.Go("start")
	list := []web.Failure{
		{Direction: "write", ID: 4211, Object: "Contact", RecordID: 131955, Action: "INSERT", Message: "REQUIRED_FIELD_MISSING: Required fields are missing: [LastName]", At: now.Add(-4 * time.Minute)},
		{Direction: "write", ID: 4187, Object: "Account", RecordID: 1187, SFID: "0015g00000XyZ12AAF", Action: "UPDATE", Message: "FIELD_CUSTOM_VALIDATION_EXCEPTION: A closed account cannot be changed", At: now.Add(-31 * time.Minute)},
	}
	s := httptest.NewServer(web.New(web.Config{
		Board: board, Addr: "127.0.0.1:0", Version: "v1.0.0",
		Errors: func(context.Context, int) ([]web.Failure, error) { return list, nil },
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}
