import { describe, expect, it } from 'vitest'
import { matching } from './lines.ts'

const yaml =
  'global:\n  scrape_interval: 5s\nscrape_configs:\n- job_name: a\n  static:\n    - x:1\n- job_name: b\n  static:\n    - y:1\n'

describe('lines of a configuration', () => {
  it('are all there without a filter', () => expect(matching(yaml, ' ')).toHaveLength(9))
  it('come with what they belong to', () =>
    expect(matching(yaml, 'Y:1').map((l) => l.text)).toEqual([
      'scrape_configs:',
      '- job_name: b',
      '  static:',
      '    - y:1',
    ]))
  it('keep their numbers', () => expect(matching(yaml, 'scrape_interval').map((l) => l.number)).toEqual([1, 2]))
  it('may be none', () => expect(matching(yaml, 'nothing')).toEqual([]))
})
