import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { request, type RequestListener } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A root over a thousand simulated leaves, in a process of its own. */
export interface ManyLeaves {
  url: string
  /** Passes a request on to it. */
  pass: RequestListener
  /** Milliseconds of a processor that it has taken: the root, its zones and leaves together; undefined where that is not told. */
  cpu: () => number | undefined
  stop: () => void
}

/** Builds and starts e2e/manyleaves; needs Go. */
export async function startManyLeaves(): Promise<ManyLeaves> {
  const dir = mkdtempSync(join(tmpdir(), 'pando-manyleaves-'))
  const binary = join(dir, 'manyleaves')
  const repository = new URL('../../..', import.meta.url).pathname
  execFileSync('go', ['build', '-o', binary, './e2e/manyleaves'], { cwd: repository, stdio: 'inherit' })
  const p = spawn(binary, [], { stdio: ['ignore', 'pipe', 'inherit'] })
  const url = await new Promise<string>((done, fail) => {
    p.stdout.on('data', (b: Buffer) => {
      const found = /listens on (\S+)/.exec(b.toString())?.[1]
      if (found) done(found)
    })
    p.once('exit', (code) => fail(new Error(`manyleaves ended with ${code}`)))
  })
  return {
    url,
    pass: (req, res) => {
      const out = request(url + req.url, { method: req.method, headers: req.headers }, (answer) => {
        res.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(res)
      })
      out.on('error', () => res.destroy())
      req.pipe(out)
    },
    cpu: () => {
      try {
        // User and system time, in hundredths of a second.
        const [user, system] =
          readFileSync(`/proc/${p.pid}/stat`, 'utf8').split(') ')[1]?.split(' ').slice(11, 13) ?? []
        return (Number(user) + Number(system)) * 10
      } catch {
        return undefined
      }
    },
    stop: () => {
      p.removeAllListeners('exit')
      p.kill()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
