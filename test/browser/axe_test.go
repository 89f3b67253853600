package browser

import (
	_ "embed"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"hcbridge/test/npm"
)

//go:embed package.json
var packages []byte

var axe = sync.OnceValues(func() (string, error) {
	dir, err := npm.Packages("browser", packages)
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	return string(text), err
})

// accessible has axe-core look at the page as it is, in light and dark: nothing
// that it calls serious or critical may be wrong.
func (b *tab) accessible(what string) {
	b.t.Helper()
	script, err := axe()
	b.must(err)
	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		if !eval[bool](b, "typeof window.axe === 'object'") {
			eval[struct{}](b, script)
		}
		found := eval[[]string](b, `axe.run().then((r) => {
			if (r.passes.length < 10) return ["axe looked at next to nothing"];
			return r.violations.filter((v) => ["serious", "critical"].includes(v.impact)).map((v) => v.id + ": " + v.help + ": " + v.nodes.map((n) => n.html + " " + n.failureSummary).join("; "));
		})`)
		if len(found) > 0 {
			b.t.Errorf("%s, %s:\n%s", what, scheme, strings.Join(found, "\n"))
		}
	}
	b.scheme("light")
}

// fits checks that nothing is wider than the window, at each width.
func (b *tab) fits(what string, widths ...int64) {
	b.t.Helper()
	for _, width := range widths {
		b.size(width, 900)
		if over := eval[[]string](b, `(() => {
			if (document.documentElement.scrollWidth <= innerWidth) return [];
			return [...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 100));
		})()`); len(over) > 0 {
			b.t.Errorf("%s at %d px is too wide: %s", what, width, strings.Join(over[:min(len(over), 5)], "\n"))
		}
	}
	b.size(1440, 1000)
}
