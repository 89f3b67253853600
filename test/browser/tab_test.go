package browser

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// patience bounds what nobody promises: one step in the browser.
const patience = 60 * time.Second

// noSuchNode is the code of the DevTools protocol for an element that is gone.
const noSuchNode = -32000

// start runs a Chromium until the test ends.
func start(t *testing.T) context.Context {
	t.Helper()
	options := slices.Clone(chromedp.DefaultExecAllocatorOptions[:])
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // root may not use it
	}
	options = append(options, chromedp.WSURLReadTimeout(patience)) // a loaded machine takes its time
	alloc, end := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(func() { cancel(); end() })
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("chromium is needed (Debian: apt-get install chromium): %v", err)
	}
	return ctx
}

// tab is a page in a browser of its own. At its end the test fails if the console
// has an error or another host was asked.
type tab struct {
	t    *testing.T
	ctx  context.Context
	host string // the only one that may be asked

	mu     sync.Mutex
	errors []string
	gone   bool // the bridge may be gone: requests may fail
}

// open returns a tab for a bridge at addr. Where it asks for a password, it gets
// token.
func open(t *testing.T, addr, token string) *tab {
	t.Helper()
	ctx := start(t)
	b := &tab{t: t, ctx: ctx, host: addr}
	auth := make(chan fetch.RequestID, 100)
	paused := make(chan fetch.RequestID, 1000)
	if err := chromedp.Listen(ctx, func(ev any) {
		switch ev := ev.(type) {
		case *fetch.EventAuthRequired:
			auth <- ev.RequestID
		case *fetch.EventRequestPaused:
			paused <- ev.RequestID
		default:
			b.watch(ev)
		}
	}); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			var err error
			select {
			case <-ctx.Done():
				return
			case id := <-paused:
				_, err = chromedp.Call(ctx, fetch.ContinueRequest, fetch.ContinueRequestParams{RequestID: id})
			case id := <-auth:
				_, err = chromedp.Call(ctx, fetch.ContinueWithAuth, fetch.ContinueWithAuthParams{
					RequestID:             id,
					AuthChallengeResponse: &fetch.AuthChallengeResponse{Response: fetch.AuthChallengeResponseResponseProvideCredentials, Password: token},
				})
			}
			if err != nil && ctx.Err() == nil {
				b.complain("intercept: " + err.Error()) // a request that was given up meanwhile
			}
		}
	}()
	yes := true
	_, err := chromedp.Call(ctx, fetch.Enable, fetch.EnableParams{HandleAuthRequests: &yes})
	b.must(err)
	_, err = chromedp.Call(ctx, network.Enable, network.EnableParams{})
	b.must(err)
	b.size(1440, 1000)
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, e := range b.errors {
			t.Error(e)
		}
	})
	return b
}

func (b *tab) complain(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.errors = append(b.errors, text)
}

// mayFail says whether the bridge may be gone from now on.
func (b *tab) mayFail(gone bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = gone
}

func (b *tab) watch(ev any) {
	b.mu.Lock()
	gone := b.gone
	b.mu.Unlock()
	switch ev := ev.(type) {
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(ev.Request.URL); err != nil || u.Host != b.host && u.Scheme != "data" && u.Scheme != "blob" {
			b.complain("another host is asked: " + ev.Request.URL)
		}
	case *runtime.EventExceptionThrown:
		b.complain("exception: " + ev.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		if ev.Type == runtime.ConsoleAPICalledTypeError {
			b.complain(fmt.Sprintf("console: %v", ev.Args))
		}
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.EntryLevelError && !(gone && ev.Entry.Source == log.EntrySourceNetwork) {
			b.complain("log: " + ev.Entry.Text + " " + ev.Entry.URL)
		}
	}
}

func (b *tab) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// do runs steps.
func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	b.must(chromedp.Do(ctx, steps...))
}

// eval runs JavaScript in a tab and returns what it gives, or what the promise
// that it gives comes to.
func eval[T any](b *tab, script string) T {
	b.t.Helper()
	v, err := try[T](b, script)
	if err != nil {
		b.t.Fatalf("%v in %.200s", err, script)
	}
	return v
}

func try[T any](b *tab, script string) (T, error) {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
}

// visit loads a page of the bridge.
func (b *tab) visit(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate("http://" + b.host + path))
}

// size sets the width and height of the window, in CSS pixels.
func (b *tab) size(width, height int64) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height))
}

// scheme is "light" or "dark".
func (b *tab) scheme(name string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}})
	b.must(err)
}

// scripts switches those of pages off and on.
func (b *tab) scripts(on bool) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
	b.must(err)
}

// text is the text of the first element that selector finds, as people see it.
func (b *tab) text(selector string) string {
	b.t.Helper()
	return eval[string](b, fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector))
}

// value is that of a field.
func (b *tab) value(selector string) string {
	b.t.Helper()
	return eval[string](b, fmt.Sprintf("document.querySelector(%q)?.value ?? ''", selector))
}

// click presses what selector finds, with the mouse. What is replaced between the
// look for it and the press, as in a list that is drawn anew, is looked for again. While
// a page is loading, what it has may still move.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.until("the whole page", `document.readyState === "complete"`)
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	for {
		err := chromedp.Do(ctx, chromedp.Click(chromedp.CSS(selector)))
		var replaced *cdproto.Error
		if errors.As(err, &replaced) && replaced.Code == noSuchNode {
			continue
		}
		b.must(err)
		return
	}
}

// until waits until what JavaScript expresses is true.
func (b *tab) until(what, expression string) time.Duration {
	b.t.Helper()
	return b.within(what, patience, expression)
}

// within is until for what is promised, or must not take long.
func (b *tab) within(what string, limit time.Duration, expression string) time.Duration {
	b.t.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		is, err := try[bool](b, "Boolean("+expression+")") // an error while a page comes or goes
		took := time.Since(began)
		switch {
		case is && took <= limit:
			return took
		case took > limit:
			b.t.Fatalf("%s: not within %s but after %s (%v); the page says\n%s", what, limit, took.Round(time.Millisecond), err, b.text("body"))
		}
	}
}

// set changes a field as one would by typing and leaving it.
func (b *tab) set(selector, value string) {
	b.t.Helper()
	eval[bool](b, fmt.Sprintf(`((e) => { e.value = %q; for (const kind of ["input", "change"]) e.dispatchEvent(new Event(kind, { bubbles: true })); return true })(document.querySelector(%q))`, value, selector))
}

// press presses keys, of package kb, one after the other.
func (b *tab) press(keys ...string) {
	b.t.Helper()
	for _, key := range keys {
		b.do(chromedp.KeyEvent(key))
	}
}

// tabTo goes on by the Tab key until what selector finds has the focus, and
// checks that one can see that it has.
func (b *tab) tabTo(selector string) {
	b.t.Helper()
	var seen []string
	for range 250 {
		b.press(kb.Tab)
		if eval[bool](b, fmt.Sprintf("document.activeElement?.matches(%q) ?? false", selector)) {
			if !eval[bool](b, "(() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0 })()") {
				b.t.Errorf("one cannot see that %s has the focus", selector)
			}
			return
		}
		seen = append(seen, eval[string](b, "document.activeElement.id || document.activeElement.value || document.activeElement.tagName"))
	}
	b.t.Fatalf("the Tab key never reaches %s but %s", selector, strings.Join(seen, ", "))
}
