import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { accessible, fits, shot, useBrowser } from './browser.ts'
import { json, startTree, until, type Running, type Tree } from './processes.ts'

const { open } = useBrowser()
let tree: Tree
beforeAll(async () => {
  tree = await startTree()
})
afterAll(() => tree?.stop())

/** Where a process serves its own console. */
const served = (r: Running) => `http://${/listens on http:\/\/([^\s,]+)/.exec(r.output())?.[1]}`
const query = (expr: string) => `/query?${new URLSearchParams({ 'g0.expr': expr, 'g0.tab': 'table' }).toString()}`
const expr = 'sum by (zone) (up)'

describe('the console of each tier', () => {
  it('shows a zone what is below it', async () => {
    const tab = await open(served(tree.zones.eu) + '/leaves')
    const { page } = tab
    await page.getByRole('row', { name: /eu-1/ }).waitFor()
    expect(await page.getByRole('row', { name: /us-1/ }).count()).toBe(0)
    await page.goto(served(tree.zones.eu) + query(expr))
    const result = page.getByRole('table', { name: 'Result' })
    await result.getByText('{zone="eu"}').waitFor()
    expect(await result.getByRole('row').count()).toBe(2)
    await page.getByText('1 of 1 leaf').waitFor()
    await accessible(page)
    await shot(page, 'tier-zone')
    expect(tab.troubles).toEqual([])
    await tab.close()
  })

  it('shows a leaf what it has', async () => {
    const tab = await open(served(tree.leaves.us) + '/targets')
    const { page } = tab
    await page.getByText('1 of 1 up').waitFor()
    await page.goto(served(tree.leaves.us) + query('count(up)'))
    await page.getByRole('table', { name: 'Result' }).waitFor()
    await fits(page)
    await accessible(page)
    await shot(page, 'tier-leaf')
    for (const path of ['planet', 'leaves', 'status', 'hints', 'rollups', 'queries']) {
      await page.goto(`${served(tree.leaves.us)}/${path}`)
      await page.getByRole('heading', { level: 1 }).waitFor()
      await page.waitForLoadState('networkidle')
    }
    expect(tab.troubles).toEqual([])
    await tab.close()
  })
})

describe('a tree with a leaf that hangs', () => {
  it('is waited for, with the time that it has taken, until someone cancels', async () => {
    tree.leaves.eu.process.kill('SIGSTOP')
    const tab = await open(tree.url + query('sum by (zone) (scrape_samples_scraped)'))
    const { page } = tab
    await page.getByText(/^asking … [1-9]\d*\.\d s$/).waitFor()
    await page.getByText('1 of 2 children have answered, waits for zone=eu').waitFor()
    await accessible(page)
    await shot(page, 'query-slow')
    await page.getByRole('button', { name: 'Cancel', exact: true }).click()
    await page.getByText('Canceled', { exact: true }).waitFor()
    await until('no query running', async () => {
      const list = await json(`${tree.url}/pando/api/v1/queries`)
      return list?.data?.active?.length === 0 || undefined
    })
    await shot(page, 'query-canceled')
    tree.leaves.eu.process.kill('SIGCONT')
    await until('the leaf that went on', async () => {
      const a = await json(`${tree.url}/api/v1/query?query=${encodeURIComponent('count(scrape_samples_scraped)')}`)
      return a?.data?.result?.[0]?.value?.[1] === '2' || undefined
    })
    await page.getByRole('button', { name: 'Run', exact: true }).click()
    await page.getByRole('table', { name: 'Result' }).getByText('{zone="eu"}').waitFor()
    await page.getByText('whole', { exact: true }).waitFor()
    expect(tab.troubles).toEqual([])
    await tab.close()
  })
})

describe('a tree that breaks', () => {
  it('is said to be broken by every page, once a leaf two tiers down is gone', async () => {
    const tab = await open(`${tree.url}/flags`)
    await tab.page.getByRole('link', { name: '2 leaves' }).waitFor()
    tree.leaves.us.process.kill('SIGKILL')
    await tab.page.getByRole('link', { name: '1 missing' }).waitFor({ timeout: 60_000 })
    await shot(tab.page, 'leaf-missing')
    await tab.page.goto(tree.url + query(expr))
    const alert = tab.page.getByRole('alert')
    await alert.getByText('Incomplete answer: 1 child is missing from it').waitFor()
    await alert.getByRole('link', { name: 'leaf zone=us,cluster=us-1' }).waitFor()
    const trust = tab.page.getByRole('group', { name: 'How far this answer can be trusted' })
    await trust.getByText('incomplete', { exact: true }).waitFor()
    await trust.getByText('2 of 2 leaves').waitFor()
    await tab.page.getByRole('table', { name: 'Result' }).getByText('{zone="eu"}').waitFor()
    await accessible(tab.page)
    await shot(tab.page, 'query-partial')
    expect(tab.troubles).toEqual([])
    await tab.close()
  })

  it('and so is a root that does not answer', async () => {
    const tab = await open(`${tree.url}/flags`)
    await tab.page.getByRole('link', { name: '1 missing' }).waitFor()
    const status = await open(`${tree.url}/status`)
    await status.page.getByText('Working directory').waitFor()
    const asks = await open(tree.url + query(expr))
    await asks.page.getByRole('table', { name: 'Result' }).waitFor()
    await tree.root.stop()
    // What was told last stays, and is said to be old.
    await status.page
      .getByText(/^The runtime status could not be read again: this is as it was \d+s ago/)
      .waitFor({ timeout: 60_000 })
    await status.page.getByText('Working directory').waitFor()
    for (const colorScheme of ['light', 'dark'] as const) {
      await status.page.emulateMedia({ colorScheme })
      await accessible(status.page)
      await shot(status.page, `status-stale-${colorScheme}`)
    }
    await status.close()
    await asks.page.getByRole('button', { name: 'Run', exact: true }).click()
    await asks.page.getByText('no answer from this tier: the connection failed or was cut').first().waitFor()
    await asks.page
      .getByText(/Check that the process runs/)
      .first()
      .waitFor()
    await shot(asks.page, 'query-unreachable')
    await asks.close()
    await tab.page.getByText('unreachable', { exact: true }).waitFor({ timeout: 60_000 })
    await tab.close()
  })
})
