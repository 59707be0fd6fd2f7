import { describe, expect, inject, it } from 'vitest'
import type { Rollouts } from '../src/api/rollouts.ts'
import { accessible, fits, shot, useBrowser } from './browser.ts'
import { until } from './processes.ts'

// The main paths of the pages of one tier's own state, over a planet that is whole.
const planet = inject('planet')
const { open } = useBrowser()
const leaf = 'zone=eu,cluster=eu-1'
const at = (path: string, params: Record<string, string> = {}) =>
  `${planet}/${path}?${new URLSearchParams(params).toString()}`

describe('targets', () => {
  it('of a leaf below are chosen, filtered and shown', async () => {
    const tab = await open(at('targets'))
    const { page } = tab
    const tier = page.getByRole('combobox', { name: 'Tier that the page is about' })
    await until('the tiers to choose from', async () => (await tier.inputValue()) === 'this root' || undefined)
    await tier.click()
    await page.getByRole('option', { name: leaf }).click()
    await page
      .getByText(/^\d+ of \d+ up$/)
      .first()
      .waitFor()
    expect(new URL(page.url()).searchParams.get('member')).toBe(leaf)
    const pools = await page.getByRole('table', { name: /^Targets of / }).count()
    expect(pools).toBeGreaterThan(1)
    await page.getByLabel('Filter targets').fill('kube-state')
    await page.getByRole('table', { name: 'Targets of node' }).waitFor({ state: 'detached' })
    await page.getByRole('table', { name: 'Targets of kube-state-metrics' }).waitFor()
    await shot(page, 'targets-leaf')
    await page.getByLabel('Filter targets').fill('nobody-scrapes-it')
    await page.getByText('No target matches').waitFor()
    await accessible(page)
    expect(tab.troubles).toEqual([])
    await tab.close()
  })
})

describe('rules', () => {
  it('of a leaf are found by name, and lead to a query', async () => {
    const tab = await open(at('rules', { member: leaf }))
    const { page } = tab
    await page.getByText(/^alert HighErrorRatio$/).waitFor()
    await accessible(page)
    await shot(page, 'rules-leaf')
    await page.getByLabel('Filter rules').fill('HighErrorRatio')
    expect(await page.getByText(/^(alert|record) /).count()).toBe(1)
    await page.getByRole('link', { name: /http_requests_total/ }).click()
    await page.getByRole('heading', { level: 1, name: 'Query' }).waitFor()
    expect(new URL(page.url()).searchParams.get('g0.expr')).toContain('http_requests_total')
    expect(tab.troubles).toEqual([])
    await tab.close()
  })
})

describe('alerts', () => {
  it('of all tiers are listed, and those of one leaf with their expressions', async () => {
    const tab = await open(at('alerts'))
    const { page } = tab
    await page.getByRole('table', { name: 'Alerts' }).or(page.getByText('No alert is pending or firing')).waitFor()
    await page.goto(at('alerts', { member: leaf }))
    const rule = page.getByRole('button', { name: /HighErrorRatio/ })
    await rule.click()
    await page.getByRole('link', { name: /http_requests_total/ }).waitFor()
    await fits(page)
    await accessible(page)
    await shot(page, 'alerts-leaf')
    expect(tab.troubles).toEqual([])
    await tab.close()
  })
})

describe('rollups', () => {
  it('show the strip of each child that owes a rule its points, and the query that it answers', async () => {
    const tab = await open(at('rollups', { span: '1h' }))
    const { page } = tab
    await page.getByRole('button', { name: /job:up/ }).click()
    await page.getByRole('img', { name: /^zone=eu: / }).waitFor()
    await page.getByRole('img', { name: /^zone=us: / }).waitFor()
    await fits(page)
    await accessible(page)
    await shot(page, 'rollups-rule')
    await page.getByRole('link', { name: 'avg by (job) (up)' }).click()
    await page.getByRole('heading', { level: 1, name: 'Query' }).waitFor()
    expect(tab.troubles).toEqual([])
    await tab.close()
  })
})

describe('rollouts', () => {
  it('pause when that is confirmed, say so, and resume', async () => {
    const tab = await open(at('rollouts'))
    const { page } = tab
    const asked = page.getByRole('dialog')
    const command = async (name: string) => {
      await page.getByRole('button', { name: `${name} …` }).click()
      await asked.getByText(`${name}: are you sure?`).waitFor()
      await asked.getByLabel('Why').fill('the console is tested')
      await accessible(page)
      await asked.getByRole('button', { name: `${name} all 6 clusters` }).click()
      await asked.getByText(/eu-1:/).waitFor()
      await shot(page, `rollouts-${name}`)
      await asked.getByRole('button', { name: 'Close' }).last().click()
      await asked.waitFor({ state: 'detached' })
    }
    await command('pause')
    await page.getByText(/^Paused: .*eu-1/).waitFor()
    await command('resume')
    await page.getByText(/^Paused: /).waitFor({ state: 'detached' })
    await page.getByRole('tab', { name: 'History' }).click()
    await page.getByRole('table', { name: 'History' }).waitFor()
    expect(tab.troubles).toEqual([])
    await tab.close()
  })

  it('promote nothing before it is confirmed, and then what was asked for', async () => {
    const tab = await open(at('rollouts'))
    const { page } = tab
    const orders: unknown[] = []
    await page.route('**/pando/api/v1/rollouts/promote', (r) => {
      orders.push(r.request().postDataJSON())
      return r.fulfill({ json: { results: [{ cluster: 'us-1', done: 'promoted' }] } })
    })
    const asked = page.getByRole('dialog')
    await page.getByRole('button', { name: 'promote …' }).click()
    await asked.getByRole('button', { name: 'Cancel' }).click()
    await asked.waitFor({ state: 'detached' })
    expect(orders).toEqual([])
    await page.getByRole('button', { name: 'promote …' }).click()
    await asked.getByRole('combobox', { name: 'Clusters' }).click()
    await page.getByRole('option', { name: 'us-1', exact: true }).click()
    await page.keyboard.press('Tab')
    await asked.getByRole('button', { name: 'promote us-1' }).click()
    await asked.getByText('promoted', { exact: false }).last().waitFor()
    expect(orders).toEqual([expect.objectContaining({ clusters: ['us-1'] })])
    expect(tab.troubles).toEqual([])
    await tab.close()
  })

  it('are not told anything by who may not, and say who may', async () => {
    const tab = await open(`${planet}/flags`)
    const { page } = tab
    const r = (await (await fetch(`${planet}/pando/api/v1/rollouts`)).json()) as Rollouts
    const why = 'user "viewer" may not operate'
    const commands = (r.commands ?? []).map((c) => ({ ...c, allowed: false, why }))
    await page.route('**/pando/api/v1/rollouts', (x) => x.fulfill({ json: { ...r, commands } }))
    await page.goto(at('rollouts'))
    const pause = page.getByRole('button', { name: 'pause …' })
    await pause.click({ force: true })
    expect(await pause.getAttribute('aria-disabled')).toBe('true')
    expect(await page.getByRole('dialog').count()).toBe(0)
    await page.getByRole('tooltip').getByText(why).waitFor()
    await tab.close()
  })
})
