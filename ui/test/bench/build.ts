import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import type { RequestListener } from 'node:http'
import { tmpdir } from 'node:os'
import { extname, join, normalize } from 'node:path'

const types: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
}

/**
 * Builds the console as it is released, into a folder of its own. In a process of its own: the environment of tests would
 * make it a build for development, whose React takes several times as long.
 */
export function built(): { serve: RequestListener; remove: () => void } {
  const dir = mkdtempSync(join(tmpdir(), 'pando-bench-'))
  const ui = new URL('../..', import.meta.url).pathname
  execFileSync(
    process.execPath,
    [join(ui, 'node_modules/vite/bin/vite.js'), 'build', '--outDir', dir, '--emptyOutDir', '--logLevel', 'error'],
    { cwd: ui, env: { ...process.env, NODE_ENV: 'production' }, stdio: 'inherit' },
  )
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
