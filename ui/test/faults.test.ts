import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { shot, useBrowser } from './browser.ts'
import { startTree, type Tree } from './processes.ts'

const { open } = useBrowser()
let tree: Tree
beforeAll(async () => {
  tree = await startTree()
})
afterAll(() => tree?.stop())

describe('a tree that breaks', () => {
  it('is said to be broken by every page, once a leaf two tiers down is gone', async () => {
    const tab = await open(`${tree.url}/flags`)
    await tab.page.getByRole('link', { name: '2 leaves' }).waitFor()
    tree.leaves.us.process.kill('SIGKILL')
    await tab.page.getByRole('link', { name: '1 missing' }).waitFor({ timeout: 60_000 })
    await shot(tab.page, 'leaf-missing')
    expect(tab.troubles).toEqual([])
    await tab.close()
  })

  it('and so is a root that does not answer', async () => {
    const tab = await open(`${tree.url}/flags`)
    await tab.page.getByRole('link', { name: '1 missing' }).waitFor()
    await tree.root.stop()
    await tab.page.getByText('unreachable', { exact: true }).waitFor({ timeout: 60_000 })
    await tab.close()
  })
})
