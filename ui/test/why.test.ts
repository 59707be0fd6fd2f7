import { describe, expect, inject, it } from 'vitest'
import { accessible, fits, shot, useBrowser } from './browser.ts'

const planet = inject('planet')
const { open } = useBrowser()
const why = (params: Record<string, string>) => `${planet}/why?${new URLSearchParams(params).toString()}`

describe('why', () => {
  it('tells the plan first, and what each part took when asked to', async () => {
    const tab = await open(why({ expr: 'sum by (cluster) (rate(http_requests_total{zone="eu"}[1m]))' }))
    await tab.page.getByText('Plan: 6 leaves, 3 to be asked, 3 pruned').waitFor()
    await tab.page.getByText('identity label: zone="eu"').first().waitFor()
    await accessible(tab.page)
    await tab.page.getByRole('button', { name: 'Analyze' }).first().click()
    await tab.page.getByText('This answer is whole: 6 leaves, 3 asked, 3 pruned').waitFor()
    await tab.page.getByRole('heading', { name: /^Critical path/ }).waitFor()
    expect(new URL(tab.page.url()).searchParams.get('analyze')).toBe('1')
    await accessible(tab.page)
    await shot(tab.page, 'why-analyzed')
    expect(tab.troubles).toEqual([])
    await tab.close()
  })

  it('explains a range too, on a phone', async () => {
    const tab = await open(why({ expr: 'sum by (job) (rate(http_requests_total[1m]))', start: '-5m', analyze: '1' }), {
      size: 'phone',
      scheme: 'dark',
    })
    await tab.page.getByRole('heading', { name: /^Critical path/ }).waitFor()
    await fits(tab.page)
    await accessible(tab.page)
    await tab.page.getByRole('button', { name: 'Explain', exact: true }).click()
    await tab.page.getByText(/^Plan: 6 leaves/).waitFor()
    await shot(tab.page, 'why-range-phone')
    expect(tab.troubles).toEqual([])
    await tab.close()
  })

  it('finds the matcher that leaves nothing, and what was meant', async () => {
    const tab = await open(why({ expr: 'rate(http_requests_total{zone="eu",job="chekout"}[1m])', tab: 'empty' }))
    await tab.page.getByText('job="chekout" is what leaves nothing').waitFor()
    await accessible(tab.page)
    await shot(tab.page, 'why-empty')
    await tab.page.getByRole('link', { name: '"checkout"' }).click()
    await tab.page.getByText(/^It selects \d+ series of 3 clusters/).waitFor()
    expect(tab.troubles).toEqual([])
    await tab.close()
  })

  it('says why a leaf is not asked, and what another has', async () => {
    const tab = await open(why({ expr: 'sum(gpu_utilization_ratio)', not: 'eu-2' }))
    await tab.page.getByText('leaf zone=eu,cluster=eu-2 is not asked.').waitFor()
    await tab.page.getByText(/by field hint: __name__="gpu_utilization_ratio"/).waitFor()
    await tab.page.goto(why({ expr: 'sum(up)', not: 'eu-2' }))
    await tab.page.getByText('leaf zone=eu,cluster=eu-2 is asked.').waitFor()
    await tab.page.getByText('It has, asked without hints:').waitFor()
    await accessible(tab.page)
    await shot(tab.page, 'why-leaf')
    expect(tab.troubles).toEqual([])
    await tab.close()
  })

  it('audits an answer', async () => {
    const tab = await open(why({ expr: 'sum by (zone) (up)', tab: 'audit' }))
    await tab.page.getByRole('button', { name: 'Audit', exact: true }).click()
    await tab.page.getByText('All answers are the same.').waitFor({ timeout: 60_000 })
    await accessible(tab.page)
    await shot(tab.page, 'why-audit')
    expect(tab.troubles).toEqual([])
    await tab.close()
  })

  it('tells of a past query, and how to have more', async () => {
    const id = `console-${Date.now()}`
    await fetch(`${planet}/api/v1/query?query=${encodeURIComponent('sum(up{zone="us"})')}`, {
      headers: { 'X-Pando-Query-Id': id },
    })
    const tab = await open(why({ id }))
    await tab.page.getByText(/^This answer is whole: 3 leaves asked, 1 child pruned/).waitFor()
    await tab.page.getByRole('link', { name: 'analyze', exact: true }).click()
    await tab.page.getByRole('heading', { name: /^Critical path/ }).waitFor()
    expect(tab.troubles).toEqual([])
    await tab.close()
  })

  it('says what is wrong with what cannot be explained', async () => {
    const tab = await open(why({ expr: 'sum(' }))
    await tab.page.getByText('Not explained').waitFor()
    await tab.page.getByText(/parse error/).waitFor()
    await tab.page.goto(why({ id: 'nobody-knows-it' }))
    await tab.page.getByText('Query nobody-knows-it is not known to this tier any more').waitFor()
    await tab.page.goto(why({ expr: 'up', time: 'soon' }))
    await tab.page.getByText(/This is no time/).waitFor()
    await tab.close()
  })
})
