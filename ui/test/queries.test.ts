import { describe, expect, inject, it } from 'vitest'
import { accessible, fits, shot, useBrowser } from './browser.ts'

const planet = inject('planet')
const { open } = useBrowser()

const ask = (id: string, query: string) =>
  fetch(`${planet}/api/v1/query?query=${encodeURIComponent(query)}`, { headers: { 'X-Pando-Query-Id': id } })

const slow = {
  id: 'slow-1',
  query: 'sum(rate(everything[1d]))',
  kind: 'query',
  step: 0,
  client: 'grafana',
  begun: new Date(Date.now() - 60_000).toISOString(),
  duration: 60,
  state: 'active',
}

describe('queries', () => {
  it('lists past ones; one opens with all that is known of it', async () => {
    const id = `console-${Date.now()}`
    await ask(id, 'count(up)')
    await ask(`${id}-bad`, 'count(')
    const tab = await open(`${planet}/queries?q=${id}`)
    await tab.page.getByRole('row', { name: /finished/ }).click()
    const one = tab.page.getByRole('region', { name: 'The selected query' })
    await one.getByText('count(up)').waitFor()
    expect(new URL(tab.page.url()).searchParams.get('id')).toBe(id)
    await accessible(tab.page)
    await shot(tab.page, 'queries-one')
    await tab.page.getByLabel('State', { exact: true }).selectOption('failed')
    await tab.page.getByRole('row', { name: /finished/ }).waitFor({ state: 'detached' })
    await tab.page.getByRole('row', { name: /failed/ }).waitFor()
    await one.getByRole('link', { name: 'Why' }).click()
    await tab.page.waitForURL(`**/why?id=${id}`)
    expect(tab.troubles).toEqual([])
    await tab.close()
  })

  it('shows what ran at a time, on a phone', async () => {
    await ask(`console-${Date.now()}`, 'count(up)')
    const tab = await open(`${planet}/queries?live=0`, { size: 'phone', scheme: 'dark' })
    await tab.page.getByRole('textbox', { name: /^What hurt us at/ }).fill('-1s')
    await tab.page.getByRole('button', { name: 'Show', exact: true }).click()
    await tab.page.getByRole('button', { name: 'All times' }).waitFor()
    await tab.page
      .getByRole('row', { name: /count\(up\)/ })
      .first()
      .waitFor()
    await fits(tab.page)
    await accessible(tab.page)
    await shot(tab.page, 'queries-phone')
    expect(tab.troubles).toEqual([])
    await tab.close()
  })

  it('cancels a running one, when that is confirmed', async () => {
    const tab = await open(`${planet}/queries?live=0`)
    const canceled: string[] = []
    await tab.page.route('**/pando/api/v1/queries', (r) =>
      r.fulfill({ json: { status: 'success', data: { active: [slow], recent: [] } } }),
    )
    await tab.page.route('**/pando/api/v1/queries/slow-1', (r) => {
      canceled.push(r.request().method())
      return r.fulfill({ json: { status: 'success', data: { id: 'slow-1' } } })
    })
    await tab.page.reload()
    await tab.page.getByRole('button', { name: `Cancel: ${slow.query}` }).click()
    await tab.page.getByRole('button', { name: 'Let it run' }).click()
    expect(canceled).toEqual([])
    await tab.page.getByRole('button', { name: `Cancel: ${slow.query}` }).click()
    const asked = tab.page.getByRole('dialog')
    await asked.getByText(slow.query).waitFor()
    await accessible(tab.page)
    await asked.getByRole('button', { name: 'Cancel the query' }).click()
    await asked.waitFor({ state: 'detached' })
    expect(canceled).toEqual(['DELETE'])
    await tab.close()
  })

  it('says what is wrong when the list cannot be read', async () => {
    const tab = await open(`${planet}/queries?live=0`)
    await tab.page.route('**/pando/api/v1/queries', (r) =>
      r.fulfill({ status: 403, json: { status: 'error', errorType: 'forbidden', error: 'not for you' } }),
    )
    await tab.page.reload()
    await tab.page.getByText('The list of queries could not be read').waitFor()
    await tab.page.getByText('not for you').waitFor()
    await tab.close()
  })
})
