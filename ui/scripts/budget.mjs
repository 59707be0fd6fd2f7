// Fails if what a browser loads before the first paint is over its budget:
// the page, the scripts and styles that it names, and what those import at once;
// or what it loads until the page that comes first, that of queries, can be used.
// The editor's grammar and the graphs come after that.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'

const dist = new URL('../dist', import.meta.url).pathname
const firstPaint = 200 * 1024
const firstUse = 265 * 1024

const packed = (name) => readFileSync(join(dist, name + '.gz'))
const seen = new Map()

function load(name) {
  if (seen.has(name)) return
  const bytes = packed(name)
  seen.set(name, bytes.length)
  if (!name.endsWith('.js')) return
  const text = gunzipSync(bytes).toString()
  for (const m of text.matchAll(/(?:from|^import|[;}]import)\s*["']\.\/([\w.-]+\.js)["']/g)) load('assets/' + m[1])
}

const page = packed('index.html')
seen.set('index.html', page.length)
for (const m of gunzipSync(page)
  .toString()
  .matchAll(/(?:src|href)="\.\/(assets\/[^"]+)"/g))
  load(m[1])

function check(what, budget) {
  const total = [...seen.values()].reduce((a, b) => a + b, 0)
  console.log(`${what}: ${(total / 1024).toFixed(1)} of ${budget / 1024} KiB gzip in ${seen.size} files`)
  if (total <= budget) return
  for (const [name, size] of seen) console.log(`  ${(size / 1024).toFixed(1).padStart(8)}  ${name}`)
  process.exit(1)
}

check('first paint', firstPaint)
const query = readdirSync(join(dist, 'assets')).filter((f) => /^QueryPage-[\w-]+\.(js|css)\.gz$/.test(f))
if (query.length === 0) throw new Error('the build has no page of queries')
for (const f of query) load('assets/' + f.replace(/\.gz$/, ''))
check('until a query can be asked', firstUse)

// Each class of Mantine's that a script has must have its style: src/styles.ts lists them one by one.
const assets = readdirSync(join(dist, 'assets'))
const all = (end) =>
  assets
    .filter((f) => f.endsWith(end))
    .map((f) => gunzipSync(readFileSync(join(dist, 'assets', f))).toString())
    .join('\n')
const classes = (text) => new Set([...text.matchAll(/\bm_[0-9a-f]{6,8}\b/g)].map((m) => m[0]))
const [used, styled] = [classes(all('.js.gz')), classes(all('.css.gz'))]
const mantine = new URL('../node_modules/@mantine/core/styles/', import.meta.url).pathname
for (const f of readdirSync(mantine).filter((f) => f.endsWith('.css') && !f.includes('.layer'))) {
  const without = [...classes(readFileSync(join(mantine, f), 'utf8'))].filter((c) => used.has(c) && !styled.has(c))
  if (without.length > 0) throw new Error(`src/styles.ts lacks ${f}: ${without.join(', ')}`)
}
