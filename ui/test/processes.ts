import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const binary = process.env.PANDO_BINARY ?? new URL('../../bin/pando', import.meta.url).pathname

/** A process of Pando, and what it has printed. */
export interface Running {
  process: ChildProcess
  output: () => string
  stop: () => Promise<void>
}

/** A new folder for data, removed by remove(). */
export function folder(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'pando-console-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true, maxRetries: 5 }) }
}

/** Starts Pando with these arguments. */
export function start(args: string[], cwd?: string): Running {
  const p = spawn(binary, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  const add = (b: Buffer) => {
    text = (text + b.toString()).slice(-100_000)
  }
  p.stdout?.on('data', add)
  p.stderr?.on('data', add)
  p.on('error', (e) => add(Buffer.from(`start ${binary}: ${e.message}; make build makes it\n`)))
  const ended = new Promise<void>((done) => p.once('close', () => done()))
  const stop = async () => {
    p.kill('SIGCONT')
    p.kill('SIGTERM')
    const late = setTimeout(() => p.kill('SIGKILL'), 15_000)
    await ended
    clearTimeout(late)
  }
  return { process: p, output: () => text, stop }
}

/** Waits until f returns something, asking it again and again; fails with what when it takes longer than seconds. */
export async function until<T>(
  what: string | (() => string),
  f: () => T | undefined | Promise<T | undefined>,
  seconds = 60,
): Promise<T> {
  const end = Date.now() + seconds * 1000
  for (;;) {
    const got = await f()
    if (got !== undefined && got !== false && got !== null) return got
    if (Date.now() > end) throw new Error(`${seconds} s passed without: ${typeof what === 'string' ? what : what()}`)
    await new Promise((r) => setTimeout(r, 100))
  }
}

/** Reads JSON from a tier; undefined while it does not answer. */
export async function json(url: string): Promise<any> {
  try {
    const r = await fetch(url)
    return r.ok ? await r.json() : undefined
  } catch {
    return undefined
  }
}

/** A tree of processes that a test may hurt: a root, two zones, and a leaf in each, which scrape themselves. */
export interface Tree {
  url: string
  root: Running
  zones: Record<'eu' | 'us', Running>
  leaves: Record<'eu' | 'us', Running>
  /** The other replica of the leaf in eu, if there is one. */
  twin?: Running
  stop: () => Promise<void>
}

const line = (r: Running, pattern: RegExp) =>
  until(
    () => `${pattern} in\n${r.output()}`,
    () => pattern.exec(r.output())?.[1],
  )

/** Starts a tree of processes, and waits until all leaves answer; replicas says that the one in eu is two replicas, a and b. */
export async function startTree({ replicas = false } = {}): Promise<Tree> {
  const dir = folder()
  const all: Running[] = []
  const run = (args: string[]) => {
    const r = start([...args, '--log.format=logfmt'])
    all.push(r)
    return r
  }
  const stop = async () => {
    await Promise.all(all.map((r) => r.stop()))
    dir.remove()
  }
  try {
    const local = '--web.listen-address=127.0.0.1:0'
    const [http, grpc] = [/listens on http:\/\/([^\s,]+)/, /children on (\S+)/]
    const root = run(['root', local, '--grpc.listen-address=127.0.0.1:0', `--storage.path=${join(dir.path, 'root')}`])
    const above = await line(root, grpc)
    const top = await line(root, http)
    const zones = {} as Tree['zones']
    const leaves = {} as Tree['leaves']
    let twin: Running | undefined
    for (const z of ['eu', 'us'] as const) {
      zones[z] = run([
        'zone',
        local,
        '--grpc.listen-address=127.0.0.1:0',
        `--storage.path=${join(dir.path, z)}`,
        `--external-label=zone=${z}`,
        `--parent=${above}`,
      ])
      const parent = await line(zones[z], grpc)
      const config = join(dir.path, `${z}.yml`)
      writeFileSync(
        config,
        `global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: pando\n    static_configs:\n      - targets: ['${top}']\n`,
      )
      const leaf = (data: string, ...more: string[]) =>
        run([
          'leaf',
          local,
          `--storage.tsdb.path=${join(dir.path, data)}`,
          `--config.file=${config}`,
          `--external-label=zone=${z}`,
          `--external-label=cluster=${z}-1`,
          `--parent=${parent}`,
          ...more,
        ])
      const twins = replicas && z === 'eu'
      if (twins) {
        // It has all that the other one will have: a replica that has less cannot stand for it.
        twin = leaf(z + '-1-b', '--replica=b')
        const self = await line(twin, http)
        await until('samples of the first replica', async () => {
          const a = await json(`http://${self}/api/v1/query?query=count(up==1)`)
          return a?.data?.result?.length || undefined
        })
      }
      leaves[z] = leaf(z + '-1', ...(twins ? ['--replica=a'] : []))
      await line(leaves[z], http)
    }
    const url = 'http://' + top
    await until('both clusters at the root', async () => {
      const a = await json(`${url}/api/v1/query?query=count(up==1)`)
      return a?.data?.result?.[0]?.value?.[1] === '2' || undefined
    })
    if (twin)
      await until('both replicas at the root', async () => {
        const t = await json(`${url}/pando/api/v1/tree`)
        return t?.self?.leaves === 3 || undefined
      })
    return { url, root, zones, leaves, ...(twin && { twin }), stop }
  } catch (e) {
    await stop()
    throw e
  }
}
