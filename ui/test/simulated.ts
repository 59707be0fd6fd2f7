import { createServer, type RequestListener, type Server } from 'node:http'
import type { Tree, TreeNode } from '../src/api/tree.ts'

/** What a simulated planet is made of. */
export interface Planet {
  zones: number
  leaves: number
  /** When it is, in milliseconds since the epoch; everything else follows from it and from seed. */
  at: number
  seed?: number
  /** Which leaves of a thousand are missing, late or have an unused hint. */
  faults?: number
}

// A small generator (mulberry32), so that the same seed gives the same planet everywhere.
function random(seed: number): () => number {
  let a = seed
  return () => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** Divides leaves among zones as unequally as they are in the world: the largest has hundreds of times the leaves of the smallest. */
export function shares(leaves: number, zones: number): number[] {
  const weights = Array.from({ length: zones }, (_, i) => 1 / (i + 1) ** 1.4)
  const sum = weights.reduce((a, b) => a + b, 0)
  const out = weights.map((w) => Math.max(1, Math.floor((leaves * w) / sum)))
  out[0] = (out[0] ?? 0) + leaves - out.reduce((a, b) => a + b, 0)
  return out
}

/** The live tree of a root over a simulated planet. */
export function simulatedTree({ zones, leaves, at, seed = 1, faults = 6 }: Planet): Tree {
  const r = random(seed)
  const time = (ms: number) => new Date(at - ms).toISOString()
  const children = shares(leaves, zones).map((n, z): TreeNode => {
    const zone = `zone-${String(((z * 17) % zones) + 1).padStart(2, '0')}`
    const below = Array.from({ length: n }, (_, i) => leaf(r, time, zone, i, faults))
    const up = below.filter((l) => l.state === 'connected')
    return {
      name: `zone=${zone}`,
      tier: 'zone',
      labels: { zone },
      version: '1.4.0',
      state: 'connected',
      since: time(86_400_000),
      series: up.reduce((a, l) => a + l.series, 0),
      samples: up.reduce((a, l) => a + l.samples, 0),
      sampleRate: up.reduce((a, l) => a + (l.sampleRate ?? 0), 0),
      mint: time(7_200_000),
      maxt: time(800),
      leaves: up.length,
      rtt: 0.02 + r() * 0.2,
      hint: { synced: true, fingerprints: 90_000 * n, bytes: 120_000 * n, age: r(), falsePositiveRate: 0.008 },
      children: below,
    }
  })
  const sum = (f: (n: TreeNode) => number) => children.reduce((a, c) => a + f(c), 0)
  return {
    at: new Date(at).toISOString(),
    self: {
      name: 'root',
      tier: 'root',
      version: '1.4.0',
      state: 'self',
      series: sum((c) => c.series),
      samples: sum((c) => c.samples),
      leaves: sum((c) => c.leaves),
    },
    children,
  }
}

function leaf(r: () => number, time: (ms: number) => string, zone: string, i: number, faults: number): TreeNode {
  const luck = r() * 1000
  const series = Math.round(2000 + r() ** 3 * 60_000)
  const missing = luck < faults / 3
  const late = !missing && luck < (2 * faults) / 3
  const cluster = `${zone}-${String(Math.floor(i / 2) + 1).padStart(4, '0')}`
  // Every twentieth pair is one cluster with two replicas.
  const replica = Math.floor(i / 2) % 20 === 0 ? (i % 2 === 0 ? 'a' : 'b') : undefined
  const name = `zone=${zone},cluster=${replica ? cluster : cluster + (i % 2 === 0 ? 'e' : 'w')}${replica ? '/replica=' + replica : ''}`
  return {
    name,
    tier: 'leaf',
    labels: { cluster: replica ? cluster : cluster + (i % 2 === 0 ? 'e' : 'w'), zone },
    ...(replica && { replica }),
    version: luck > 990 ? '1.3.2' : '1.4.0',
    revision: luck > 930 ? '9f1c2ab04d5e6f708192a3b4c5d6e7f801234567' : '4be07d11c2a39485f6b7c8d9e0f1a2b3c4d5e6f7',
    state: missing ? 'missing' : 'connected',
    since: time(missing ? 120_000 + r() * 3_600_000 : 86_400_000),
    ...(missing && { error: 'connection lost: keepalive timeout' }),
    series,
    samples: series * 1000,
    ...(!missing && { sampleRate: series / 15 }),
    mint: time(7_200_000),
    maxt: time(late ? 70_000 + r() * 500_000 : r() * 14_000),
    leaves: missing ? 0 : 1,
    rtt: 0.001 + r() * 0.08,
    hint: {
      synced: !missing && luck > faults,
      fingerprints: series * 8,
      bytes: series * 10,
      age: r() * 2,
      falsePositiveRate: 0.008,
      ...(missing ? { reason: 'disconnected' } : luck <= faults && { reason: 'late' }),
    },
    ...(i % 50 === 0 && { gaps: [{ start: time(7_000_000), end: time(6_990_000) }] }),
  }
}

/** What the simulated hints endpoint tells of a tree: a row per child, with uses. */
export function simulatedHints(tree: Tree): unknown {
  const uses = (n: number) => ({
    equality: { asked: 900 + n, told: 880 + n, empty: 3, spared: 9000 * (n + 1), emptyRate: 3 / (880 + n) },
    several: { asked: 300, told: 290, empty: 6, spared: 4000 * (n + 1), emptyRate: 6 / 290 },
    regexp: { asked: 120, told: 100, empty: 9, spared: 500 * (n + 1), emptyRate: 0.09 },
    nameless: { asked: 20, told: 20, empty: 0, spared: 0, emptyRate: 0 },
  })
  const children = tree.children.map((c, i) => ({
    name: c.name,
    tier: c.tier,
    connected: c.state === 'connected',
    synced: c.hint?.synced ?? false,
    hint: {
      fingerprints: c.hint?.fingerprints,
      bytes: c.hint?.bytes,
      layers: 6,
      fill: 0.3 + ((i * 7) % 60) / 100,
      epoch: '12247281334444164589',
      age: c.hint?.age,
      falsePositiveRate: 0.008,
      sections: [],
    },
    uses: uses(i),
  }))
  return { status: 'success', data: { name: 'root', tier: 'root', uses: uses(children.length), children } }
}

/** Serves a simulated planet over HTTP, as much of it as the Planet, Leaves and Hints pages ask for; rest answers the other requests. */
export function serveSimulated(
  p: Omit<Planet, 'at'>,
  rest?: RequestListener,
): Promise<{ url: string; server: Server }> {
  // Writing five megabytes takes longer than drawing them: what is measured is the page, so it is done beforehand, and
  // after each answer for the next one.
  let tree = simulatedTree({ ...p, at: Date.now() })
  let body = JSON.stringify(tree)
  const server = createServer((req, res) => {
    const path = new URL(req.url ?? '/', 'http://x').pathname
    if (path === '/pando/api/v1/tree') {
      res.writeHead(200, { 'Content-Type': 'application/json' })
      res.end(body, () => {
        setTimeout(() => {
          tree = simulatedTree({ ...p, at: Date.now() + 4000 })
          body = JSON.stringify(tree)
        }, 500)
      })
      return
    }
    if (path === '/pando/api/v1/hints') {
      res.writeHead(200, { 'Content-Type': 'application/json' })
      res.end(JSON.stringify(simulatedHints(tree)))
      return
    }
    if (rest) return rest(req, res)
    res.writeHead(404, { 'Content-Type': 'application/json' })
    res.end(JSON.stringify({ status: 'error', errorType: 'not_found', error: 'the simulated planet has no ' + path }))
  })
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () => {
      const a = server.address()
      resolve({ url: `http://127.0.0.1:${typeof a === 'object' && a ? a.port : 0}`, server })
    }),
  )
}
