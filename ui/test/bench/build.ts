import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import type { RequestListener } from 'node:http'
import { tmpdir } from 'node:os'
import { extname, join, normalize } from 'node:path'
import { build } from 'vite'

const types: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
}

/** Builds the console as it is released, into a folder of its own. */
export async function built(): Promise<{ serve: RequestListener; remove: () => void }> {
  const dir = mkdtempSync(join(tmpdir(), 'pando-bench-'))
  await build({
    root: new URL('../..', import.meta.url).pathname,
    logLevel: 'error',
    build: { outDir: dir, emptyOutDir: true },
  })
  const serve: RequestListener = (req, res) => {
    const path = normalize(new URL(req.url ?? '/', 'http://x').pathname)
    const file = join(dir, path)
    // Paths of pages have no dot.
    const name =
      extname(path) !== '' && existsSync(file) ? file : extname(path) === '' ? join(dir, 'index.html') : undefined
    if (!name) {
      res.writeHead(404).end()
      return
    }
    res.writeHead(200, { 'Content-Type': types[extname(name)] ?? 'application/octet-stream' })
    res.end(readFileSync(name))
  }
  return { serve, remove: () => rmSync(dir, { recursive: true, force: true }) }
}
