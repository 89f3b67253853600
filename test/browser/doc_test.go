// Package browser opens the bridge's pages in headless Chromium, as people do, and
// uses them: with the mouse, by keyboard alone, in light and dark, on a phone and
// on a wide screen, without scripts.
//
//	real bridge ◀── HTTP ── Chromium ◀── DevTools protocol ── test
//	     │                     └─ axe-core, in the page
//	test/org, Postgres
//
// Whatever a test does, its tab must not report an error to the console, and must
// not ask any other host than the bridge: see tab.
//
// It needs Chromium (Debian: apt-get install chromium) and npm, which installs
// axe-core, and fails without them. With HCBRIDGE_SCREENSHOTS=folder the pictures
// that TestPictures takes are kept there.
package browser

import (
	"os"
	"testing"

	"hcbridge/test/rig"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }
