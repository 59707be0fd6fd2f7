import type { TestProject } from 'vitest/node'
import { folder, json, start, until } from './processes.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** The address of the root of a running pando dev. */
    planet: string
  }
}

/** Runs one pando dev for all tests that do not hurt it; PANDO_URL names one that runs already. */
export default async function setup(project: TestProject) {
  if (process.env.PANDO_URL) {
    project.provide('planet', process.env.PANDO_URL)
    return
  }
  const dir = folder()
  const dev = start(['dev', '--web.listen-address=127.0.0.1:0', `--data-dir=${dir.path}`], dir.path)
  const stop = async () => {
    await dev.stop()
    dir.remove()
  }
  try {
    const url = await until(
      () => `the address of pando dev in\n${dev.output()}`,
      () => /The planet is up: (http:\/\/\S+)/.exec(dev.output())?.[1],
      120,
    )
    // Rates need two scrapes.
    await until(
      'rates of all clusters',
      async () => {
        const a = await json(
          `${url}/api/v1/query?query=${encodeURIComponent('count(count by (cluster) (rate(http_requests_total[1m])))')}`,
        )
        return a?.data?.result?.[0]?.value?.[1] === '6' || undefined
      },
      120,
    )
    project.provide('planet', url)
  } catch (e) {
    await stop()
    throw e
  }
  return stop
}
