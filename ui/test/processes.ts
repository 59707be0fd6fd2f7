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
  stop: () => Promise<void>
}

const line = (r: Running, pattern: RegExp) =>
  until(
    () => `${pattern} in\n${r.output()}`,
    () => pattern.exec(r.output())?.[1],
  )

/** Starts a tree of processes, and waits until both leaves answer. */
export async function startTree(): Promise<Tree> {
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
    const zones = {} as Tree['zones']
    const leaves = {} as Tree['leaves']
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
      writeFileSync(config, 'global:\n  scrape_interval: 1s\n')
      leaves[z] = run([
        'leaf',
        local,
        `--storage.tsdb.path=${join(dir.path, z + '-1')}`,
        `--config.file=${config}`,
        `--external-label=zone=${z}`,
        `--external-label=cluster=${z}-1`,
        `--parent=${parent}`,
      ])
      const self = await line(leaves[z], http)
      writeFileSync(
        config,
        `global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: pando\n    static_configs:\n      - targets: ['${self}']\n`,
      )
      leaves[z].process.kill('SIGHUP')
    }
    const url = 'http://' + (await line(root, http))
    await until('both leaves at the root', async () => {
      const a = await json(`${url}/api/v1/query?query=count(up==1)`)
      return a?.data?.result?.[0]?.value?.[1] === '2' || undefined
    })
    return { url, root, zones, leaves, stop }
  } catch (e) {
    await stop()
    throw e
  }
}
