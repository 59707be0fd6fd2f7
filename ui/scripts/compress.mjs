// Replaces each built file by its gzip form: the server sends it as it is, and
// the binary holds a third of the bytes.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'

const dist = new URL('../dist', import.meta.url).pathname

for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || entry.name === '.gitignore' || entry.name.endsWith('.gz')) continue
  const path = join(entry.parentPath, entry.name)
  writeFileSync(path + '.gz', gzipSync(readFileSync(path), { level: 9 }))
  rmSync(path)
}

// The build has emptied the folder, in which this file alone is kept in git.
writeFileSync(
  join(dist, '.gitignore'),
  '# The console is built into this folder, which is embedded; only this file is kept.\n*\n!.gitignore\n',
)
