import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { accessible, shot, useBrowser } from './browser.ts'
import { startTree, type Tree } from './processes.ts'

const { open } = useBrowser()
let tree: Tree
beforeAll(async () => {
  tree = await startTree({ replicas: true })
})
afterAll(() => tree?.stop())

const why = (params: Record<string, string>) => `${tree.url}/why?${new URLSearchParams(params).toString()}`
const expr = 'sum by (zone) (up)'

describe('why, of a tree that breaks', () => {
  it('says of a replica that is killed that another one answers in its place', async () => {
    tree.leaves.eu.process.kill('SIGKILL')
    const tab = await open(why({ expr, analyze: '1' }))
    await tab.page.getByRole('link', { name: '1 missing' }).waitFor({ timeout: 60_000 })
    await tab.page.getByRole('button', { name: 'Analyze' }).first().click()
    await tab.page.getByText(/^This answer is whole/).waitFor()
    await tab.page.getByText('replica b', { exact: true }).first().waitFor()
    await tab.page.goto(why({ expr, not: 'zone=eu,cluster=eu-1/replica=a' }))
    await tab.page.getByText('leaf zone=eu,cluster=eu-1/replica=a is missing').waitFor()
    await tab.page.getByText(/considers another replica in its place: .*replica=b/).waitFor()
    await accessible(tab.page)
    await shot(tab.page, 'why-replica-killed')
    expect(tab.troubles).toEqual([])
    await tab.close()
  })

  it('names a leaf that is killed, in a plan, an analysis and a past query', async () => {
    tree.leaves.us.process.kill('SIGKILL')
    const tab = await open(why({ expr }))
    await tab.page.getByRole('link', { name: '2 missing' }).waitFor({ timeout: 60_000 })
    await tab.page.getByRole('button', { name: 'Explain', exact: true }).click()
    await tab.page.getByText(/^The plan is not whole: leaf zone=us,cluster=us-1 did not tell its plan: /).waitFor()
    await tab.page.getByRole('button', { name: 'Analyze' }).first().click()
    await tab.page.getByText(/^PARTIAL: leaf zone=us,cluster=us-1 did not answer: /).waitFor()
    await accessible(tab.page)
    await shot(tab.page, 'why-leaf-killed')
    await tab.page.goto(why({ expr, analyze: '1', not: 'us-1' }))
    await tab.page.getByText('leaf zone=us,cluster=us-1 is missing').waitFor()
    const id = `console-${Date.now()}`
    await fetch(`${tree.url}/api/v1/query?hints=off&query=${encodeURIComponent(expr)}`, {
      headers: { 'X-Pando-Query-Id': id },
    })
    await tab.page.goto(why({ id }))
    await tab.page.getByText(/^PARTIAL: leaf zone=us,cluster=us-1 did not answer: /).waitFor()
    await tab.page.getByText('without field hints').first().waitFor()
    expect(tab.troubles).toEqual([])
    await tab.close()
  })

  it('says that a strict query was refused, and by whom', async () => {
    const tab = await open(why({ expr, analyze: '1', partial_response: 'false' }))
    await tab.page.getByText('Not evaluated').waitFor()
    await tab.page.getByText(/leaf "zone=us,cluster=us-1" did not answer/).waitFor()
    await tab.close()
  })
})
