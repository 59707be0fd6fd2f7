import { describe, expect, inject, it } from 'vitest'
import { accessible, fits, shot, useBrowser } from './browser.ts'
import { simulatedTree } from './simulated.ts'

const planet = inject('planet')
const { open } = useBrowser()
const leaf = 'zone=eu,cluster=eu-1'
const at = (path: string, params: Record<string, string> = {}) =>
  `${planet}/${path}?${new URLSearchParams(params).toString()}`

describe('the planet', () => {
  it('is drawn with its leaves, and opens one by keyboard', async () => {
    const tab = await open(at('planet'))
    const { page } = tab
    await page.getByRole('img', { name: /\d leaves in \d groups, coloured by health/ }).waitFor()
    const first = page.getByRole('treeitem').first()
    await first.focus()
    await page.keyboard.press('ArrowDown')
    expect(tab.troubles).toEqual([])
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { level: 1, name: leaf }).waitFor()
    await tab.close()
  })

  it('shows the way of a query: who was asked, and who was spared by what', async () => {
    const tab = await open(at('planet', { color: 'query', expr: 'gpu_utilization_ratio' }))
    await tab.page.getByRole('button', { name: /asked, had data [1-9]/ }).waitFor()
    await tab.page.getByRole('button', { name: /pruned by hint [1-9]/ }).waitFor()
    await fits(tab.page)
    await accessible(tab.page)
    await shot(tab.page, 'planet-query')
    expect(tab.troubles).toEqual([])
    await tab.close()
  })

  it('says what is wrong with a query that cannot be', async () => {
    const tab = await open(at('planet', { color: 'query', expr: 'sum(' }))
    await tab.page
      .getByRole('alert')
      .getByText('The query’s way is not known')
      .or(tab.page.getByRole('alert').getByText("The query's way is not known"))
      .waitFor()
    await tab.close()
  })

  it('draws ten thousand leaves, names those that are missing, and finds them', async () => {
    const tab = await open(`${planet}/flags`)
    const { page } = tab
    const tree = simulatedTree({ zones: 40, leaves: 10_000, at: Date.now() })
    await page.route('**/pando/api/v1/tree', (r) => r.fulfill({ json: tree }))
    await page.goto(at('planet', { q: 'state=missing' }))
    await page.getByText(/\d+ members are missing: answers lack their part/).waitFor()
    await page.getByText(/\d+ of 10.000 highlighted/).waitFor()
    await page
      .getByRole('treeitem', { name: /missing/ })
      .first()
      .waitFor()
    await fits(page)
    await shot(page, 'planet-10000')
    await tab.close()
  })
})

describe('the leaves', () => {
  it('are found by their labels, and open', async () => {
    const tab = await open(at('leaves'))
    const { page } = tab
    const rows = page.getByRole('row')
    await rows.nth(1).waitFor()
    await page.getByLabel('Search leaves').fill('zone=eu cluster=eu-1')
    await page.getByText(/^1 of \d/).waitFor()
    expect(await rows.count()).toBe(2)
    expect(tab.troubles).toEqual([])
    await rows.nth(1).press('Enter')
    await page.getByRole('heading', { level: 1, name: leaf }).waitFor()
    await tab.close()
  })

  it('are told to be missing, and can be forgotten after a question', async () => {
    const tab = await open(`${planet}/flags`)
    const { page } = tab
    const tree = simulatedTree({ zones: 2, leaves: 20, at: Date.now(), faults: 0 })
    const gone = {
      ...tree.children[0]?.children?.[0],
      name: 'zone=x,cluster=gone',
      state: 'missing',
      error: 'connection lost',
    }
    await page.route('**/pando/api/v1/tree', (r) =>
      r.fulfill({ json: { ...tree, children: [...tree.children, gone] } }),
    )
    const forgotten = page.waitForRequest((r) => r.method() === 'DELETE')
    await page.route('**/pando/api/v1/tree/*', (r) => r.fulfill({ status: 204 }))
    await page.goto(at('leaves', { state: 'missing' }))
    await page.getByRole('row').nth(1).press('Enter')
    await page.getByText('It is missing: answers lack its part').waitFor()
    await page.getByRole('button', { name: 'Forget …' }).click()
    await page.getByText('it is a member again', { exact: false }).waitFor()
    await page.getByRole('button', { name: 'Forget it' }).click()
    expect(decodeURIComponent((await forgotten).url())).toContain('/pando/api/v1/tree/zone=x,cluster=gone')
    await tab.close()
  })
})

describe('a leaf', () => {
  it('says who it is, and what it scrapes or why that cannot be read', async () => {
    const tab = await open(at('leaf', { name: leaf }))
    const { page } = tab
    await page.getByRole('heading', { name: 'Identity and state' }).waitFor()
    await page
      .getByText(/\d+ of \d+ up, in \d+ pools?/)
      .or(page.getByText('No targets'))
      .first()
      .waitFor()
    await fits(page)
    await accessible(page)
    await shot(page, 'leaf-known')
    await tab.close()
  })

  it('that is not there is said not to be, with names like it', async () => {
    const tab = await open(at('leaf', { name: 'zone=eu,cluster=eu-99' }))
    await tab.page.getByText('There is no such member').waitFor()
    await tab.page.getByRole('button', { name: leaf }).waitFor()
    await tab.close()
  })
})

describe('hints', () => {
  it('tell who has a metric, and the leaves how much of it', async () => {
    const tab = await open(at('hints', { selector: 'gpu_utilization_ratio' }))
    const { page } = tab
    await page.getByText(/1 leaf may hold it; all others cannot\./).waitFor()
    await page.getByRole('button', { name: 'Ask them how many' }).click()
    await page.getByText(/1 do/).waitFor()
    // Other zones were spared that question, for they have no such metric.
    await page.getByRole('region', { name: 'By label' }).getByText('__name__').waitFor()
    expect(tab.troubles).toEqual([])
    await accessible(page)
    await shot(page, 'hints-who-has')
    await tab.close()
  })

  it('are not asked for what is no selector', async () => {
    const tab = await open(at('hints', { selector: 'sum(up)' }))
    await tab.page.getByText('This is not a plain selector', { exact: false }).waitFor()
    await tab.close()
  })
})
